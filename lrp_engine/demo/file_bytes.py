"""The bytes of a file as magika reads them, and as people read them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from ..show.pieces import Piece
from .byte_words import pieces_of_bytes

WINDOW, FILL = 1024, 256
_FILL: Piece = Piece("[fill]", special=True)


@dataclass(frozen=True)
class FileBytes:
    """A file, without the white space around it. The model reads 1,024 bytes from either end.

    Shorter files are filled up. Then both windows hold the same bytes, and a byte's relevance is
    the sum of both.
    """

    content: bytes

    @property
    def shown(self) -> int:
        """Return how many bytes the model reads."""
        return min(len(self.content), 2 * WINDOW)

    def tokens(self) -> Tensor:
        """Return both windows behind one another, (1, 2048)."""
        first, last = list(self.content[:WINDOW]), list(self.content[-WINDOW:])
        windows = first + [FILL] * (WINDOW - len(first)) + [FILL] * (WINDOW - len(last)) + last
        return torch.tensor([windows], dtype=torch.int32)

    @cached_property
    def places(self) -> Tensor:
        """Say which byte each entry of the windows is, (2048,): of those shown; fill comes last."""
        size, held = self.shown, min(WINDOW, len(self.content))
        places = torch.full((2 * WINDOW,), size)
        places[:held] = torch.arange(held)
        places[2 * WINDOW - held :] = torch.arange(size - held, size)
        return places

    def sum_up(self, relevance: Tensor) -> Tensor:
        """Return relevance per byte, and of what was filled up: (1, shown + 1).

        Args:
            relevance: Of the windows, (1, 2048, 257).
        """
        sums = relevance.new_zeros(1, self.shown + 1)
        return sums.index_add(1, self.places, relevance.sum(-1))

    def entries(self, relevance: Tensor) -> Tensor:
        """Return relevance per byte, (1, shown)."""
        return self.sum_up(relevance)[:, :-1]

    def blank(self, held: Tensor, mask: Tensor) -> Tensor:
        """Return the windows, (1, 2048, 257), in which some bytes are filled up."""
        padded = torch.cat([mask, mask.new_zeros(1, 1)], 1)
        fill = torch.zeros_like(held[0, 0])
        fill[FILL] = 1
        return torch.where(padded[0, self.places][None, :, None], fill, held)

    def pieces(self) -> list[Piece]:
        """Return a piece per entry of `sum_up`; dots go before the second window of a long file."""
        if len(self.content) <= self.shown:
            return [*pieces_of_bytes(self.content), _FILL]
        first = pieces_of_bytes(self.content[:WINDOW])
        last = pieces_of_bytes(self.content[-WINDOW:], first[-1].word)
        return [*first, replace(last[0], text=f"… {last[0].text}"), *last[1:], _FILL]
