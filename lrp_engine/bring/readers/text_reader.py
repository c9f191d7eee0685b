"""Read texts for models that take token ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch import nn

from ...capture.signature import argument_names, forward_signature
from ...errors import InputError
from ..batch import Batch, Sample, names_of, truth_of
from ..data.texts import is_pair, is_text, text_samples
from ..data.tokens import (
    Encoded,
    TextEncoder,
    fill_up,
    label_texts,
    last_tokens,
    notes_of,
)

IDS, MASK, SEGMENTS = "input_ids", "attention_mask", "token_type_ids"


@dataclass(frozen=True)
class TextReader:
    """Reads texts, and pairs of texts, as ids with what else the model takes.

    Args:
        encoder: The tokenizer.
        arguments: The name of each of the model's arguments, and what it takes: ids, mask or
            segments.
        at_last: Whether classes are meant at the last token of each text.
    """

    takes: ClassVar[tuple[str, ...]] = ("tokenizer", "truncate")
    what: ClassVar[str] = "texts"

    encoder: TextEncoder
    arguments: Mapping[str, str] = field(default_factory=lambda: {IDS: IDS, MASK: MASK})
    at_last: bool = False

    def samples(self, data: Any) -> Sequence[Sample]:
        """Return one sample per text, or pair. Raises InputError for what is none."""
        return text_samples(data, lambda one: is_text(one) or is_pair(one))

    def read(self, samples: Sequence[Sample]) -> Batch:
        """Return ids (texts, tokens), filled up at the end where texts are shorter.

        Raises InputError if texts have several lengths and the model takes no mask.
        """
        encoded = [self.encoder.encode(sample.value) for sample in samples]
        self._require_mask(encoded)
        tensors = fill_up(encoded, self.encoder.filler)
        (name,) = (n for n, what in self.arguments.items() if what == IDS)
        return Batch(
            inputs={n: tensors[what] for n, what in self.arguments.items()},
            sources={name: label_texts(encoded)},
            position=last_tokens(encoded) if self.at_last else None,
            notes=notes_of(encoded),
            samples=names_of(samples),
            truth=truth_of(samples),
        )

    def _require_mask(self, encoded: Sequence[Encoded]) -> None:
        lengths = {len(e.ids) for e in encoded}
        if len(lengths) > 1 and MASK not in self.arguments.values():
            raise InputError(
                "the texts have several lengths, and the model takes no attention_mask that would"
                " hide the filling: explain texts of one length together"
            )


def text_arguments(model: nn.Module, encoder: TextEncoder) -> dict[str, str]:
    """Return which of a model's arguments take ids, mask and segments.

    Arguments are told by the names that transformers gives them; a first argument of another name
    takes the ids.

    Raises InputError if the model needs others as well.
    """
    parameters = forward_signature(model).parameters.values()
    needed = [
        p.name
        for p in parameters
        if p.default is p.empty
        and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    ]
    return choose_arguments(argument_names(model), needed, encoder)


def choose_arguments(
    names: Sequence[str], needed: Sequence[str], encoder: TextEncoder
) -> dict[str, str]:
    """Return which arguments take what a tokenizer gives.

    Args:
        names: The model's arguments.
        needed: Those that it cannot do without.
        encoder: The tokenizer: its model may take segments or not.

    Raises:
        InputError: It needs others.
    """
    found = {names[0]: IDS} if names and IDS not in names else {IDS: IDS}
    if MASK in names:
        found[MASK] = MASK
    if SEGMENTS in names and (SEGMENTS in encoder.argument_names or SEGMENTS in needed):
        found[SEGMENTS] = SEGMENTS
    lacking = [name for name in needed if name not in found]
    if lacking:
        raise InputError(
            f"the model takes {', '.join(lacking)} beside the ids, which a text does not say: give"
            " a mapping of tensors"
        )
    return found
