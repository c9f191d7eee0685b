"""Serve products and quotients: the gradient halfway between the runs."""

from __future__ import annotations

from torch import Tensor

from lrp_engine.method.call import Call, Coefficients
from lrp_engine.method.op import Product, Quotient
from lrp_engine.method.rule import rule
from lrp_engine.rules.two_runs.quadrature import integrate
from lrp_engine.rules.two_runs.runs import choice, over_settings


@rule(
    "delta",
    family=Product,
    cites="own: exact differences, docs/two-runs.md",
    absorbs=choice,
    runs=2,
)
def product(call: Call[Product], c: Tensor) -> Coefficients:
    """Give each of two factors the mean of the other: x_b y_b - x_a y_a = ym dx + xm dy."""
    factors = sum(o.name in call.op.factors for o in call.live)
    points = max(1, (factors + 1) // 2)  # the gradient is a polynomial of degree factors - 1
    return over_settings(call, lambda one: integrate(one, c, points))


def quotient_slopes(call: Call[Quotient], c: Tensor) -> tuple[Tensor, ...]:
    """Return c (1/y_a + 1/y_b) / 2 for x, and -c (x_a + x_b) / (2 y_a y_b) for y, of x / y."""
    names = (call.op.numerator, call.op.denominator)
    (x_b, y_b), (x_a, y_a) = ([one[n] for n in names] for one in (call, call.base))
    found = {
        call.op.numerator: c * ((1 / y_a + 1 / y_b) / 2),
        call.op.denominator: -c * ((x_a + x_b) / 2) / (y_a * y_b),
    }
    return tuple(
        found[o.name].masked_fill(c == 0, 0.0).sum_to_size(call.operand(o).shape) for o in call.live
    )


@rule(
    "delta",
    family=Quotient,
    cites="own: exact differences, docs/two-runs.md",
    absorbs=choice,
    runs=2,
)
def quotient(call: Call[Quotient], c: Tensor) -> Coefficients:
    """Treat x / y as the product x (1/y), where 1/y_b - 1/y_a = -(y_b - y_a) / (y_a y_b)."""
    return over_settings(call, lambda one: quotient_slopes(one, c))
