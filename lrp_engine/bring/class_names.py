"""Turn names of classes into their numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from ..errors import TargetError, suggest
from ..show.labelling import names_of_classes


class Names(Protocol):
    """Knows what is called by which name in the output."""

    def number(self, name: str) -> int:
        """Return the number of a class or token. Raises TargetError if there is none."""


@dataclass(frozen=True)
class ClassNames:
    """The names of a classifier's classes, in their order.

    A class is found by its name, by a part of it between commas, and in other letter case, where
    that is no other class's, too.

    Args:
        classes: The names.
        some: Whether only some are named; then others may follow.

    Example:
        >>> from lrp_engine.bring.class_names import ClassNames
        >>> ClassNames(("tabby, tabby cat", "goldfish")).number("Tabby cat")
        0
    """

    classes: tuple[str, ...] = ()
    some: bool = False

    def number(self, name: str) -> int:
        """Return the number of a class. Raises TargetError if there is none, or several."""
        if not self.classes:
            raise TargetError(
                f"{name!r} is a name, and this model's classes have none: give its number, or the"
                " names as classes=[...]"
            )
        for known in self._tables:
            found = known.get(name, known.get(name.casefold(), ()))
            if len(found) == 1:
                return found[0]
            if found:
                raise TargetError(
                    f"{name!r} names the classes {', '.join(map(str, found))}: give the number"
                )
        raise TargetError(f"there is no class {name!r}{_hint(name, self.classes)}")

    @cached_property
    def _tables(self) -> tuple[dict[str, tuple[int, ...]], ...]:
        """The classes by their names, then by those in small letters, then by parts of names."""
        whole = list(enumerate(self.classes))
        small = [(i, name.casefold()) for i, name in whole]
        parts = [(i, part.strip()) for i, name in small for part in name.split(",")]
        return tuple(map(_numbers_by_name, (whole, small, parts)))


NO_NAMES: ClassNames = ClassNames()


def class_names(given: Sequence[str] | Mapping[int, str] | None) -> ClassNames:
    """Return the names that were given as a list, or as {number: name}."""
    return ClassNames(names_of_classes(given), isinstance(given, Mapping)) if given else NO_NAMES


def _numbers_by_name(pairs: Sequence[tuple[int, str]]) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}
    for number, name in pairs:
        found[name] = (*found.get(name, ()), number)
    return found


def _hint(name: str, classes: Sequence[str]) -> str:
    few = 20
    near = suggest(name, classes, listed=len(classes) <= few)
    return near or f"; there are {len(classes)}, such as {', '.join(map(repr, classes[:3]))}"
