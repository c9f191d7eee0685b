"""Define the claims that op records make of their results: signs, and rows computed one by one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..graphs.nodes import value

Known = Callable[[Any], bool]


def always(*_: object) -> bool:
    """Make the claim of every call."""
    return True


def as_are(*names: str) -> Callable[[Mapping[str, Any], Known], bool]:
    """Return the claim that a result is not negative if none of these arguments is."""

    def holds(arguments: Mapping[str, Any], known: Known) -> bool:
        return all(known(arguments[name]) for name in names)

    return holds


def reduces_last(arguments: Mapping[str, Any]) -> bool:
    """Return whether a call reduces over the last axis and no other."""
    last = value(arguments["self"]).dim() - 1
    return list(arguments["dim"] or ()) in ([-1], [last])


def normalises_last(arguments: Mapping[str, Any]) -> bool:
    """Return whether a call normalises over the last axis and no other."""
    return len(arguments["normalized_shape"]) == 1
