"""Spell products of complex matrices and convolutions: four real ones each."""

from __future__ import annotations

from typing import Any

from ...graphs.aten import aten
from .arithmetic import Spelling
from .pair import Pair, Value, add, combine, conjugate, multiply, pair_of


def _bilinear(op: Any) -> Spelling:
    return lambda a, b, *settings: combine(lambda x, y: op(x, y, *settings), a, b)


def _biased(op: Any) -> Spelling:
    """Return the spelling of a product whose third argument is added to it."""

    def spell(a: Value, b: Value, bias: Value | None = None, *settings: object) -> Value:
        found = combine(lambda x, y: op(x, y, None, *settings), a, b)
        return found if bias is None else add(found, bias)

    return spell


def _convolution(op: Any) -> Spelling:
    """Return the spelling of a convolution, whose bias is added channel by channel."""

    def spell(a: Value, b: Value, bias: Value | None, stride: Any, *settings: object) -> Value:
        found = combine(lambda x, y: op(x, y, None, stride, *settings), a, b)
        if bias is None:
            return found
        shape = (-1,) + (1,) * len(stride)
        per_channel = pair_of(bias)
        return add(found, Pair(*(part.view(shape) for part in per_channel)))

    return spell


def _added(op: Any) -> Spelling:
    """Return the spelling of beta plus + alpha a b."""

    def spell(plus: Value, a: Value, b: Value, *, beta: Value = 1, alpha: Value = 1) -> Value:
        return add(multiply(plus, beta), multiply(combine(op, a, b), alpha))

    return spell


def conjugate_dot(a: Value, b: Value) -> Value:
    """Return the sum of conj(a) b."""
    return combine(aten.dot.default, conjugate(a) if isinstance(a, Pair) else a, b)


SPELLINGS: dict[object, Spelling] = {
    **{
        op: _bilinear(op)
        for op in (
            aten.matmul.default,
            aten.mm.default,
            aten.bmm.default,
            aten.mv.default,
            aten.dot.default,
        )
    },
    aten.vdot.default: conjugate_dot,
    aten.linear.default: _biased(aten.linear.default),
    aten.convolution.default: _convolution(aten.convolution.default),
    aten.addmm.default: _added(aten.mm.default),
    aten.baddbmm.default: _added(aten.bmm.default),
    aten.addmv.default: _added(aten.mv.default),
}
