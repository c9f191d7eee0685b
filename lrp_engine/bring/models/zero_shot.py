"""Open zero-shot classifiers: does a text entail "This example is about sports."?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch
from torch import nn

from ...errors import InputError, TargetError
from ...run.class_weights import PREDICTED
from ...run.target import is_class
from ..batch import Batch, Sample
from ..class_names import ClassNames
from ..data.texts import text_samples
from ..hints import Hints
from ..opened import Asked, OpenedModel
from ..readers.text_reader import TextReader
from .hf_parts import HfParts
from .hf_texts import EXAMPLE, always, text_reader

_TEMPLATE = "This example is {}."


@dataclass(frozen=True)
class Hypotheses(Batch):
    """Texts with their first candidate, and what makes batches with others."""

    samples_read: tuple[Sample, ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class ZeroShotReader:
    """Reads texts, each with one of the candidates as its hypothesis."""

    takes: ClassVar[tuple[str, ...]] = ("tokenizer", "truncate")
    what: ClassVar[str] = "texts"

    reader: TextReader
    candidates: tuple[str, ...]
    template: str

    def samples(self, data: Any) -> Sequence[Sample]:
        """Return one sample per text. Raises InputError for what is none."""
        return text_samples(data)

    def read(self, samples: Sequence[Sample]) -> Hypotheses:
        """Return texts with the first candidate."""
        return self.with_candidates(samples, [0] * len(samples))

    def with_candidates(self, samples: Sequence[Sample], chosen: Sequence[int]) -> Hypotheses:
        """Return texts, each with the hypothesis of one candidate."""
        pairs = [
            replace(s, value=(s.value, self.template.format(self.candidates[i])))
            for s, i in zip(samples, chosen, strict=True)
        ]
        read = self.reader.read(pairs)
        names = tuple(s.name for s in samples)
        fields = {**vars(read), "samples": names, "samples_read": tuple(samples)}
        return Hypotheses(**fields)


@dataclass(frozen=True)
class AskEntailment:
    """Asks whether a text entails the hypothesis of its target."""

    model: nn.Module
    reader: ZeroShotReader
    entailment: int

    def __call__(self, batch: Batch, target: Any) -> Asked:
        """Return the batch of texts with the target's candidates, and the class of entailment.

        Raises TargetError for a contrast: each candidate is a run of its own.
        """
        if not is_class(target) and target is not None:
            return Asked(batch, target)
        samples = batch.samples_read if isinstance(batch, Hypotheses) else ()
        if not samples:  # tensors: classes are the model's own
            return Asked(batch, target)
        chosen = self._choose(samples, target)
        return Asked(self.reader.with_candidates(samples, chosen), self.entailment)

    def _choose(self, samples: Sequence[Sample], target: Any) -> list[int]:
        each = target if isinstance(target, (list, tuple)) else [target] * len(samples)
        if target is None or any(isinstance(one, Mapping) for one in each):
            raise TargetError(
                "each candidate is a run of its own: the target is one of"
                f" {', '.join(map(repr, self.reader.candidates))}, or {PREDICTED!r}"
            )
        if len(each) != len(samples):
            raise TargetError(f"one candidate per text is needed: {len(samples)}")
        if any(one == PREDICTED for one in each):
            best = self._predict(samples)
            each = [b if one == PREDICTED else one for one, b in zip(each, best, strict=True)]
        for one in each:
            if not 0 <= int(one) < len(self.reader.candidates):
                raise TargetError(f"there is no candidate {one}")
        return [int(one) for one in each]

    def _predict(self, samples: Sequence[Sample]) -> list[int]:
        """Return the candidate that each text entails most."""
        scores = []
        device = next(self.model.parameters()).device
        for i in range(len(self.reader.candidates)):
            read = self.reader.with_candidates(samples, [i] * len(samples))
            inputs = {name: tensor.to(device) for name, tensor in read.inputs.items()}
            with torch.no_grad():
                scores.append(self.model(**inputs).logits[:, self.entailment])
        found: list[int] = torch.stack(scores, 1).argmax(1).tolist()
        return found


def open_parts(parts: HfParts, hints: Hints) -> OpenedModel:
    """Open a classifier of pairs of texts as one of texts into candidates.

    Raises InputError without candidates, or if no class of the model means entailment.
    """
    given = hints.candidates or parts.settings.get("candidate_labels")
    if not given:
        raise InputError("zero-shot classes are yours: give candidates=['sports', 'politics', ...]")
    names = parts.class_names(hints).classes
    found = [i for i, name in enumerate(names) if name.lower().startswith("entail")]
    if len(found) != 1:
        raise InputError(f"no class of this model is called entailment: {', '.join(names)}")
    template = str(parts.settings.get("hypothesis_template") or _TEMPLATE)
    reader = ZeroShotReader(text_reader(parts, hints), tuple(given), template)
    return OpenedModel(
        parts.model,
        always(reader),
        ClassNames(tuple(given)),
        unit="logit of entailment",
        example=EXAMPLE,
        takes=("candidates", "classes"),
        ask=AskEntailment(parts.model, reader, found[0]),
    )
