"""Define the claims that op records make of their results: signs, and rows computed one by one."""

from __future__ import annotations

from collections.abc import Callable

from ..graphs.nodes import value
from ..graphs.schema import Arguments

Known = Callable[[object], bool]
Claim = Callable[[Arguments, Known], bool]


def always(*_: object) -> bool:
    """Make the claim of every call."""
    return True


def as_are(*names: str) -> Claim:
    """Return the claim that a result is not negative if none of these arguments is."""

    def holds(arguments: Arguments, known: Known) -> bool:
        return all(known(arguments[name]) for name in names)

    return holds


def reduces_last(arguments: Arguments) -> bool:
    """Return whether a call reduces over the last axis and no other."""
    last = value(arguments["self"]).dim() - 1
    return list(arguments["dim"] or ()) in ([-1], [last])


def normalises_last(arguments: Arguments) -> bool:
    """Return whether a call normalises over the last axis and no other."""
    return len(arguments["normalized_shape"]) == 1


def multiplies_by_matrix(arguments: Arguments) -> bool:
    """Return whether a product's second factor is one matrix, the same for every row."""
    return bool(value(arguments["other"]).dim() == 2)


def never_zero(*names: str) -> Claim:
    """Return the claim that value and slope are finite where none of these arguments is zero."""

    def holds(arguments: Arguments, known: Known) -> bool:
        return all(known(arguments[name]) for name in names)

    return holds


def any_of(*names: str) -> Claim:
    """Return the claim that holds if one of these arguments is known."""

    def holds(arguments: Arguments, known: Known) -> bool:
        return any(known(arguments[name]) for name in names)

    return holds
