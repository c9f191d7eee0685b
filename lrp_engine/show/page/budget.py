"""Keep a page within its limits: what does not fit is left out, and said."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ...markup import Markup, count_elements


@dataclass(frozen=True)
class Budget:
    """The most bytes, elements and samples of one piece of HTML."""

    bytes: int
    elements: int = 4000
    samples: int = 8

    def without(self, *spent: Markup) -> Budget:
        """Return what is left beside some parts."""
        return Budget(
            self.bytes - sum(len(part.encode()) for part in spent),
            self.elements - sum(map(count_elements, spent)),
            self.samples,
        )

    def holds(self, part: Markup) -> bool:
        """Return whether there is room for a part."""
        left = self.without(part)
        return left.bytes >= 0 and left.elements >= 0

    def text(self) -> str:
        """Return the limits in words."""
        size = f"{self.bytes / 1e6:g} MB"
        return f"{size}, {self.elements:,} elements and {self.samples} samples"


PAGE, FRAGMENT, NOTEBOOK = Budget(5_000_000), Budget(1_000_000), Budget(300_000, 1500, 2)


def take_while_it_fits(parts: Iterable[Markup], budget: Budget) -> list[Markup]:
    """Return the first parts, as many as fit; each is written only when it is its turn."""
    taken: list[Markup] = []
    for part in parts:
        if not budget.holds(part):
            break
        taken.append(part)
        budget = budget.without(part)
    return taken
