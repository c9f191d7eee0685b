"""Spell sums, products, quotients and powers of complex values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...graphs.aten import aten
from .pair import Pair, Part, Value, conjugate, multiply, pair_of, scale

Spelling = Callable[..., Any]

_LARGEST_POWER = 64


class NotSpelled(Exception):
    """A call that a spelling does not serve: the op stays complex, and is refused where live."""


def divide(a: Value, b: Value) -> Value:
    """Return a / b as a conj(b) / |b|^2."""
    if not isinstance(b, Pair):
        return scale(a, 1 / b) if isinstance(b, (int, float)) else _over(a, b)
    size = b.re * b.re + b.im * b.im
    return _over(multiply(a, conjugate(b)), size)


def _over(a: Value, b: Part) -> Value:
    return Pair(a.re / b, a.im / b) if isinstance(a, Pair) else a / b


def invert(z: Pair) -> Value:
    """Return 1 / z."""
    return _over(conjugate(z), z.re * z.re + z.im * z.im)


def raise_to(z: Pair, power: Any) -> Value:
    """Return z to the power of a whole number, by multiplication."""
    if isinstance(power, Pair) and isinstance(power.im, float) and power.im == 0.0:
        power = power.re
    if not isinstance(power, (int, float)) or power != int(power) or abs(power) > _LARGEST_POWER:
        raise NotSpelled
    if power == 0:
        return Pair(z.re * 0.0 + 1.0, z.im * 0.0)
    found: Value = z
    for _ in range(abs(int(power)) - 1):
        found = multiply(found, z)
    return found if power > 0 else invert(pair_of(found))


def add_product(plus: Value, a: Value, b: Value, *, value: Value = 1) -> Value:
    """Return plus + value a b."""
    whole = pair_of(multiply(multiply(a, b), value))
    summand = pair_of(plus)
    return Pair(summand.re + whole.re, summand.im + whole.im)


CONJUGATES = {
    aten._conj.default,
    aten._conj_physical.default,
    aten.conj.default,
    aten.conj_physical.default,
}
SPELLINGS: dict[object, Spelling] = {
    aten.mul.Tensor: multiply,
    aten.mul.Scalar: multiply,
    aten.div.Tensor: divide,
    aten.div.Scalar: divide,
    aten.true_divide.Tensor: divide,
    aten.reciprocal.default: invert,
    aten.square.default: lambda z: multiply(z, z),
    aten.pow.Tensor_Scalar: raise_to,
    aten.addcmul.default: add_product,
    **dict.fromkeys(CONJUGATES, conjugate),
}
