"""Keep a page within its limits: what does not fit is left out, and said."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ...markup import Markup, count_elements

MOST_ROWS, _MOST_WORDS = 200, 1000
_ELEMENTS = 5  # of a row of a table; a word has 2


@dataclass(frozen=True)
class Room:
    """Limit what one source of one sample may take: rows of values, words, pixels a side."""

    rows: int = MOST_ROWS
    words: int = _MOST_WORDS
    pixels: int = 512


@dataclass(frozen=True)
class Budget:
    """The most bytes, elements and samples of one piece of HTML, and pixels a side of a picture."""

    bytes: int
    elements: int = 4000
    samples: int = 8
    pixels: int = 512

    @property
    def sources(self) -> int:
        """The most sources of one sample: bars of more would not fit."""
        return max(1, self.elements // 330)

    def room(self, samples: int, sources: int) -> Room:
        """Return the room of each source, such that the first sample fits whatever it is."""
        return Room(
            rows=max(1, min(MOST_ROWS, self.elements // (4 * _ELEMENTS * samples * sources))),
            words=min(_MOST_WORDS, self.elements // (4 * sources)),
            pixels=int(self.pixels / sources**0.5),
        )

    def without(self, *spent: Markup) -> Budget:
        """Return what is left beside some parts."""
        return Budget(
            self.bytes - sum(len(part.encode()) for part in spent),
            self.elements - sum(map(count_elements, spent)),
            self.samples,
            self.pixels,
        )

    def holds(self, part: Markup) -> bool:
        """Return whether there is room for a part."""
        left = self.without(part)
        return left.bytes >= 0 and left.elements >= 0

    def text(self) -> str:
        """Return the limits in words."""
        size = f"{self.bytes / 1e6:g} MB"
        return f"{size}, {self.elements:,} elements and {self.samples} samples"


PAGE, FRAGMENT = Budget(5_000_000), Budget(1_000_000, pixels=256)
BOOK = Budget(15_000_000, elements=16_000)
NOTEBOOK = Budget(1_000_000, elements=1500, samples=2, pixels=256)


def take_while_it_fits(parts: Iterable[Markup], budget: Budget) -> list[Markup]:
    """Return the first parts, as many as fit; each is written only when it is its turn."""
    taken: list[Markup] = []
    for part in parts:
        if not budget.holds(part):
            break
        taken.append(part)
        budget = budget.without(part)
    return taken
