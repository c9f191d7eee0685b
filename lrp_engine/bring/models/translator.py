"""Open models that write one text for another: translations, summaries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch

from ...errors import CaptureError
from ...show.pieces import Piece
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
from ..hints import Hints
from ..opened import OpenedModel
from ..readers.text_reader import IDS, MASK
from ..token_names import TokenNames
from .hf_parts import HfParts
from .hf_texts import EXAMPLE, always

_WRITTEN = "decoder_input_ids"
_WRITTEN_MASK = "decoder_attention_mask"


@dataclass(frozen=True)
class WritingReader:
    """Reads a text, or a pair: a text, and what has been written of its translation so far.

    Args:
        encoder: The tokenizer.
        start: The token that a translation starts with.
    """

    takes: ClassVar[tuple[str, ...]] = ("tokenizer", "truncate")
    what: ClassVar[str] = "texts"

    encoder: TextEncoder
    start: int

    def samples(self, data: Any) -> Sequence[Sample]:
        """Return one sample per text, or pair. Raises InputError for what is none."""
        return text_samples(data, lambda one: is_text(one) or is_pair(one))

    def read(self, samples: Sequence[Sample]) -> Batch:
        """Return ids of texts and of what is written; the next token of that is explained."""
        pairs = [s.value if isinstance(s.value, tuple) else (s.value, "") for s in samples]
        read = [self.encoder.encode(text) for text, _ in pairs]
        written = [self._written(text) for _, text in pairs]
        source, target = (fill_up(each, self.encoder.filler) for each in (read, written))
        inputs = {IDS: source[IDS], MASK: source[MASK], _WRITTEN: target[IDS]}
        if len({len(e.ids) for e in written}) > 1:
            inputs[_WRITTEN_MASK] = target[MASK]
        return Batch(
            inputs=inputs,
            sources={IDS: label_texts(read), _WRITTEN: label_texts(written)},
            position=last_tokens(written),
            notes=notes_of(read),
            samples=names_of(samples),
            truth=truth_of(samples),
        )

    def _written(self, text: str) -> Encoded:
        first = Encoded((self.start,), (0,), (Piece("<start>", special=True),))
        if not text:
            return first
        rest = self.encoder.encode(text, special=False)
        return replace(
            rest,
            ids=first.ids + rest.ids,
            segments=first.segments + rest.segments,
            pieces=first.pieces + rest.pieces,
        )


def open_parts(parts: HfParts, hints: Hints) -> OpenedModel:
    """Open a model of encoder and decoder; targets are tokens, by their text.

    Raises CaptureError for a model that does not read texts.
    """
    config: Any = parts.model.config
    start = getattr(config, "decoder_start_token_id", None)
    if start is None or parts.input_name != IDS:
        raise CaptureError(
            f"{type(parts.model).__name__} does not read texts alone, or does not say which token"
            " it starts with (config.decoder_start_token_id): give an Engine the model, and tensors"
        )
    reader = WritingReader(parts.encoder(hints), int(torch.as_tensor(start)))
    names, example = TokenNames(reader.encoder), (EXAMPLE, EXAMPLE)
    return OpenedModel(parts.model, always(reader), names, unit="logit", example=example)
