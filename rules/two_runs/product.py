"""Serve products and quotients: the gradient halfway between the runs."""

from __future__ import annotations

import math

from torch import Tensor

from lrp_engine.method.call import Call, Coefficients
from lrp_engine.method.op import Product, Quotient
from lrp_engine.method.rule import rule
from lrp_engine.rules.two_runs.runs import at, choice, midpoint, over_settings

# Points and weights on [0, 1] by number of points (Gauss-Legendre): n points integrate
# polynomials of degree 2n - 1 exactly.
GAUSS = {
    1: ((0.5, 1.0),),
    2: tuple((0.5 + s * math.sqrt(1 / 12), 0.5) for s in (-1, 1)),
}


def along_segment(call: Call[Product], c: Tensor, factors: int) -> tuple[Tensor, ...]:
    """Integrate the gradient from a to b, which is a polynomial of degree factors - 1."""
    if factors <= 2:
        return midpoint(call, c)
    found = [tuple(w * g for g in at(call, t).vjp(c)) for t, w in GAUSS[2]]
    return tuple(sum(parts[1:], parts[0]) for parts in zip(*found, strict=True))


@rule("delta", family=Product, cites="own: midpoint", absorbs=choice, runs=2)
def product(call: Call[Product], c: Tensor) -> Coefficients:
    """Give each of two factors the mean of the other: x_b y_b - x_a y_a = ym dx + xm dy."""
    factors = sum(o.name in call.op.factors for o in call.live)
    return over_settings(call, lambda one: along_segment(one, c, factors))


def quotient_slopes(call: Call[Quotient], c: Tensor) -> tuple[Tensor, ...]:
    """Return c (1/y_a + 1/y_b) / 2 for x, and -c (x_a + x_b) / (2 y_a y_b) for y, of x / y."""
    names = (call.op.numerator, call.op.denominator)
    (x_b, y_b), (x_a, y_a) = ([one[n] for n in names] for one in (call, call.base))
    found = {
        call.op.numerator: c * ((1 / y_a + 1 / y_b) / 2),
        call.op.denominator: -c * ((x_a + x_b) / 2) / (y_a * y_b),
    }
    return tuple(
        found[o.name].masked_fill(c == 0, 0.0).sum_to_size(call.operand(o).shape)
        for o in call.live
    )


@rule("delta", family=Quotient, cites="own: midpoint of x and 1/y", absorbs=choice, runs=2)
def quotient(call: Call[Quotient], c: Tensor) -> Coefficients:
    """Treat x / y as the product x (1/y), where 1/y_b - 1/y_a = -(y_b - y_a) / (y_a y_b)."""
    return over_settings(call, lambda one: quotient_slopes(one, c))
