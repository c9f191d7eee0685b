"""Serve functions entry by entry: the slope of the line through both runs' points.

For one operand this is DeepLIFT's Rescale rule. Several operands share the change by the mean over
all orders in which they can go from a to b, which are their Shapley values in this one op.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations

import torch
from torch import Tensor

from lrp_engine.graphs.aten import aten
from lrp_engine.graphs.schema import Operand, invoke, substitute
from lrp_engine.method.call import Call, Coefficients, OpT
from lrp_engine.method.op import Normaliser, Op, Pointwise
from lrp_engine.method.relevance import widen
from lrp_engine.method.rule import rule
from lrp_engine.rules.two_runs.closed_secants import find_closed_secant, may_overflow
from lrp_engine.rules.two_runs.runs import both, choice, over_settings

_NOISE = 16.0  # units of rounding within which a quotient of differences says nothing


def secant(
    f: Callable[[Tensor], Tensor],
    b: Tensor,
    a: Tensor,
    known: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """Return (f(b) - f(a)) / (b - a), or f'((a + b) / 2) where rounding hides the difference.

    Args:
        f: An elementwise function.
        b: Where the explained run is.
        a: Where the reference is.
        known: f(b) and f(a), if they are there in full precision.
    """
    b, a = widen(b), widen(a)
    middle, step = torch.lerp(a, b, 0.5), b - a
    slope = derivative(f, middle)
    f_b, f_a = known or (f(b), f(a))
    quotient = (f_b - f_a) / step.masked_fill(step == 0, 1.0)
    size = f_b.abs() + f_a.abs() + (slope * middle).abs()
    hidden = (quotient - slope).abs() * step.abs() <= _NOISE * torch.finfo(b.dtype).eps * size
    return torch.where(hidden | (step == 0), slope, quotient)


def derivative(f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Return f'(x) of an elementwise function."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        y = f(x)
        (slope,) = torch.autograd.grad(y, x, torch.ones_like(y))
    return slope


def orders(operands: Sequence[Operand]) -> Iterator[tuple[Operand, frozenset[Operand], float]]:
    """Yield (operand, the others that went from a to b before it, share of all orders)."""
    n = len(operands)
    for operand in operands:
        others = [o for o in operands if o != operand]
        for size in range(n):
            share = math.factorial(size) * math.factorial(n - size - 1) / math.factorial(n)
            for first in combinations(others, size):
                yield operand, frozenset(first), share


def entrywise_slopes(call: Call[OpT], c: Tensor) -> tuple[Tensor, ...]:
    """Return c times each live operand's mean secant, summed where the operand was repeated."""
    closed = find_closed_secant(call.op.target, call.arguments)
    if closed is not None:
        (operand,) = call.live
        found = c * closed(*both(call, operand)).to(c.dtype)
        return (found.masked_fill(c == 0, 0.0) if may_overflow(call.op.target) else found,)
    return by_quotients(call, c)


def by_quotients(call: Call[OpT], c: Tensor) -> tuple[Tensor, ...]:
    """Do the same for any op, by quotients of differences."""
    known = None
    if len(call.live) == 1 and c.dtype == widen(c).dtype:
        known = (call.out, call.base.out)
    values = {o: [widen(x).expand(c.shape) for x in both(call, o)] for o in call.live}
    total: dict[Operand, Tensor] = {}
    for operand, moved, share in orders(call.live):
        rest = {o: v[0 if o in moved else 1] for o, v in values.items() if o != operand}

        def f(x: Tensor, operand: Operand = operand, rest: dict[Operand, Tensor] = rest) -> Tensor:
            found: Tensor = invoke(call.op.target, substitute(call.arguments, {**rest, operand: x}))
            return found

        part = secant(f, values[operand][0], values[operand][1], known)
        part = part if share == 1.0 else share * part
        total[operand] = total[operand] + part if operand in total else part
    return tuple(
        (c * total[o]).masked_fill(c == 0, 0.0).sum_to_size(call.operand(o).shape).to(c.dtype)
        for o in call.live
    )


def entrywise(call: Call[OpT], c: Tensor) -> Coefficients:
    """Apply the secants of an elementwise op."""
    return over_settings(call, lambda one: entrywise_slopes(one, c))


@rule("delta", family=Pointwise, cites="shrikumar2017, Rescale rule", absorbs=choice, runs=2)
def pointwise(call: Call[Pointwise], c: Tensor) -> Coefficients:
    """Return c (f(b) - f(a)) / (b - a), c f' of the middle where both runs are nearly equal."""
    return entrywise(call, c)


@rule("delta", family=Normaliser, cites="shrikumar2017, Rescale rule", absorbs=choice, runs=2)
def normaliser(call: Call[Normaliser], c: Tensor) -> Coefficients:
    """Return c (f(b) - f(a)) / (b - a) for a scale to divide by."""
    return entrywise(call, c)


_COMPARED = (
    aten.maximum.default,
    aten.minimum.default,
    aten.fmax.default,
    aten.fmin.default,
)


def is_entrywise_choice(op: Op) -> bool:
    """Return whether a selection compares entry by entry, its operands or limits."""
    return op.elementwise or op.target in _COMPARED
