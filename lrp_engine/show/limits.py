"""Say where the colours end: symmetric, linear, and said where single entries go beyond."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from ..markup.numbers import plain

_SMALL = 4096  # entries below which nothing is cut off
CLIP = 99.5  # per cent of the entries of larger planes are within the limit
SPARSE_CLIP = 99.9  # of spectrograms, of which a few lines hold nearly all


@dataclass(frozen=True)
class Limit:
    """The end of the colours, in the unit of relevance; `largest` is the largest |R|.

    `clip`: per cent of the entries that are within it; None if it was asked for.
    """

    end: float
    largest: float
    clip: float | None = 100.0

    @property
    def is_cut(self) -> bool:
        """True if some entries are beyond."""
        return self.largest > self.end

    def text(self) -> str:
        """Return the limit in words, for the line below a map."""
        if not self.is_cut:
            return f"colours end at ±{plain(self.end)}"
        why = "as asked" if self.clip is None else f"{self.clip:g} % of entries"
        return f"colours end at ±{plain(self.end)} ({why}; largest {plain(self.largest)})"


def limit_of_plane(relevance: Tensor, clip: float = CLIP) -> Limit:
    """Return where the colours of a map end; 1 if all is zero.

    Args:
        relevance: Of what shares one scale, any shape.
        clip: Per cent of the entries that are to be within, where there are 4,096 or more.
    """
    sizes = relevance.abs().flatten()
    largest = float(sizes.max())
    if sizes.numel() < _SMALL or clip >= 100:
        return Limit(largest or 1.0, largest)
    inside = max(1, round(sizes.numel() * clip / 100))
    end = float(sizes.kthvalue(inside).values)
    return Limit(end, largest, clip) if end else Limit(largest or 1.0, largest)


def largest_of(amounts: Sequence[float]) -> float:
    """Return the largest |R|, or 1 if all are zero."""
    return max(map(abs, amounts), default=0.0) or 1.0
