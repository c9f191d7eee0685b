"""Open encoders of sentences: a pair of texts in, the cosine of their vectors out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn.functional import normalize

from ...errors import InputError, suggest
from ..batch import Batch, Sample, names_of, truth_of
from ..data.texts import is_pair, text_samples
from ..data.tokens import TextEncoder, fill_up, label_texts, notes_of
from ..hints import Hints
from ..opened import OpenedModel
from ..readers.text_reader import IDS, MASK
from .hf_parts import HfParts
from .hf_texts import EXAMPLE, always

POOLINGS = ("mean", "cls")


class Similarity(nn.Module):
    """Cosine of two sentences' vectors, each pooled from the tokens of one encoder."""

    def __init__(self, encoder: nn.Module, pooling: str) -> None:
        super().__init__()
        self.encoder: nn.Module = encoder
        self.pooling: str = pooling

    def embed(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return one vector of length 1 per text, (texts, features)."""
        tokens: Tensor = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        if self.pooling == "cls":
            return normalize(tokens[:, 0], dim=-1)
        seen = mask.unsqueeze(-1).to(tokens.dtype)
        return normalize((tokens * seen).sum(1) / seen.sum(1), dim=-1)

    def forward(
        self, first: Tensor, first_mask: Tensor, second: Tensor, second_mask: Tensor
    ) -> Tensor:
        """Return the cosine per pair of texts, (pairs,)."""
        left, right = self.embed(first, first_mask), self.embed(second, second_mask)
        return (left * right).sum(-1)


@dataclass(frozen=True)
class PairReader:
    """Reads pairs of texts."""

    takes: ClassVar[tuple[str, ...]] = ("tokenizer", "truncate")
    what: ClassVar[str] = "pairs of texts"

    encoder: TextEncoder

    def samples(self, data: Any) -> Sequence[Sample]:
        """Return one sample per pair. Raises InputError for what is none."""
        return text_samples(data, is_pair, "a pair of texts, (first, second)")

    def read(self, samples: Sequence[Sample]) -> Batch:
        """Return ids and masks of first and second texts."""
        first, second = (
            [self.encoder.encode(sample.value[i]) for sample in samples] for i in (0, 1)
        )
        left, right = (fill_up(each, self.encoder.filler) for each in (first, second))
        return Batch(
            inputs={
                "first": left[IDS],
                "first_mask": left[MASK],
                "second": right[IDS],
                "second_mask": right[MASK],
            },
            sources={"first": label_texts(first), "second": label_texts(second)},
            notes=(*notes_of(first), *notes_of(second)),
            samples=names_of(samples),
            truth=truth_of(samples),
        )


def open_parts(parts: HfParts, hints: Hints) -> OpenedModel:
    """Open an encoder; how it pools is said by its folder or by the user.

    Raises InputError if nobody says it.
    """
    pooling = hints.pooling or parts.pooling
    if pooling not in POOLINGS:
        said = "this encoder does not say" if pooling is None else f"pooling={pooling!r} is unknown"
        hint = suggest(pooling, POOLINGS) if pooling else f": give pooling={POOLINGS[0]!r} or 'cls'"
        raise InputError(f"{said}, by which a sentence's vector is made of its tokens'{hint}")
    reader = PairReader(parts.encoder(hints))
    model = Similarity(parts.model, pooling).eval()
    return OpenedModel(
        model, always(reader), unit="cosine", example=(EXAMPLE, EXAMPLE), takes=("pooling",)
    )
