"""Say which values a rule's parameters take; presets are held to it.

A rule declares the range where it declares the parameter:

    def epsilon(call, c, epsilon: NotNegative = 1e-6): ...

A plain `float` takes every finite number.
"""

from __future__ import annotations

import inspect
import math
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from numbers import Integral, Real
from typing import Annotated, Any

import torch
from torch import Tensor

from ..errors import suggest


@dataclass(frozen=True)
class Range:
    """The values of a number: from `low` on, or above it; up to `high`."""

    low: float = -math.inf
    high: float = math.inf
    without_low: bool = False

    def holds(self, value: float) -> bool:
        """Return whether a finite number lies inside."""
        above = value > self.low if self.without_low else value >= self.low
        return above and value <= self.high

    def __str__(self) -> str:
        low = f"{'above' if self.without_low else 'of at least'} {self.low:g}"
        high = f"of at most {self.high:g}"
        parts = [low] * (self.low > -math.inf) + [high] * (self.high < math.inf)
        return f"a finite number {' and '.join(parts)}".rstrip()


NotNegative = Annotated[float, Range(low=0)]
Positive = Annotated[float, Range(low=0, without_low=True)]
Share = Annotated[float, Range(low=0, high=1, without_low=True)]

_ANY = Range()


def read_parameter(function: Callable[..., Any], name: str, given: object) -> object:
    """Return a parameter as a rule takes it: a member of its enumeration, a tuple for a list.

    Args:
        function: The rule's function, whose signature declares the parameter.
        name: The parameter.
        given: What a preset gives for it.

    Raises:
        ValueError: the value is not one that the parameter takes; says which it takes.

    Example:
        >>> def halve(call, c, share: Share = 0.5): ...
        >>> read_parameter(halve, "share", 2)
        Traceback (most recent call last):
        ValueError: share = 2 is not a finite number above 0 and of at most 1
    """
    kind = _kind_of(function, name)
    extent = next((m for m in getattr(kind, "__metadata__", ()) if isinstance(m, Range)), _ANY)
    kind = getattr(kind, "__origin__", kind) if hasattr(kind, "__metadata__") else kind
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _member(kind, name, given)
    if kind is bool:
        return _require(isinstance(given, bool), name, given, "true or false")
    if kind is int:
        whole = isinstance(given, Integral) and not isinstance(given, bool)
        return _require(whole and extent.holds(given), name, given, f"{extent}, and whole")  # type: ignore[arg-type]
    if kind is not float and isinstance(given, (Sequence, Tensor)) and not isinstance(given, str):
        values = torch.as_tensor(given).flatten().tolist()
        good = bool(values) and all(_is_inside(v, extent) for v in values)
        _require(good, name, given, f"a list of numbers, each {extent}")
        return tuple(given) if isinstance(given, list) else given
    return _require(_is_inside(given, extent), name, given, str(extent))


def _kind_of(function: Callable[..., Any], name: str) -> object:
    """Return the declared type of a parameter; that of its default if none can be read."""
    parameter = inspect.signature(function).parameters[name]
    if isinstance(parameter.default, Enum):
        return type(parameter.default)
    holder = _Holder()
    holder.__annotations__ = {name: parameter.annotation}
    try:
        hints = typing.get_type_hints(holder, function.__globals__, include_extras=True)
    except (NameError, TypeError):  # imported for type checkers alone
        hints = {}
    kind = hints.get(name, parameter.empty)
    return type(parameter.default) if kind is parameter.empty else kind


class _Holder:
    """Something that has annotations, as `typing` wants it."""

    __annotations__: dict[str, Any]


def _member(kind: type[Enum], name: str, given: object) -> Enum:
    if isinstance(given, kind):
        return given
    known = {member.value: member for member in kind}
    if not isinstance(given, str) or given not in known:
        raise ValueError(f"{name} = {given!r}{suggest(str(given), known)}")
    return known[given]


def _is_inside(value: object, extent: Range) -> bool:
    number = isinstance(value, Real) and not isinstance(value, bool)
    return number and math.isfinite(value) and extent.holds(float(value))  # type: ignore[arg-type]


def _require(good: bool, name: str, given: object, words: str) -> object:
    if not good:
        raise ValueError(f"{name} = {given!r} is not {words}")
    return given
