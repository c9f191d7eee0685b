"""Say in words what was explained of a sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..markup.numbers import signed

_MOST = 3


@dataclass(frozen=True)
class Question:
    """Hold what was explained of one sample.

    Args:
        classes: Class and weight, the largest weight first; empty if no classes were named.
        position: Where in the output they were meant, if it has positions.
        about: In words, what was explained instead of classes: "a metric".
        probability: Of the one class that was explained, where it is known.
    """

    classes: tuple[tuple[int, float], ...] = ()
    position: int | None = None
    about: str = ""
    probability: float | None = None

    def text(self, class_names: Sequence[str] = ()) -> str:
        """Return the question: `why "nurse" rather than "doctor"?`, or "" if it is unknown."""
        if not self.classes:
            return f"why {self.about}?" if self.about else ""
        names = [name_class(index, class_names) for index, _ in self.classes]
        weights = [weight for _, weight in self.classes]
        if weights == [1.0]:
            return f"why {names[0]}?"
        if weights == [1.0, -1.0]:
            return f"why {names[0]} rather than {names[1]}?"
        terms = [f"{signed(w)} {name}" for name, w in zip(names, weights, strict=True)]
        more = f" and {len(terms) - _MOST} more" if len(terms) > _MOST else ""
        return f"why {' '.join(terms[:_MOST])}{more}?"


def name_class(index: int, class_names: Sequence[str]) -> str:
    """Return the name of a class in quotes, or `class 3` if it has none."""
    return f'"{class_names[index]}"' if 0 <= index < len(class_names) else f"class {index}"
