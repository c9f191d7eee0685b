"""Serve norms, variances, products of entries: f(t x) = t^k f(x), shared by Euler's theorem."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from lrp_engine.graphs.aten import aten
from lrp_engine.graphs.nodes import value
from lrp_engine.graphs.schema import Arguments
from lrp_engine.method.call import Arriving, Call, Coefficients, Passed
from lrp_engine.method.claims import never_zero
from lrp_engine.method.op import Homogeneous
from lrp_engine.method.relevance import flow_sum
from lrp_engine.method.rule import rule
from lrp_engine.method.samples import real, sample

MOMENTS = tuple(
    Homogeneous(target=target, operands=("self",), samples=(call,), degree=degree)
    for target, call, degree in [
        (aten.var.correction, sample(real(2, 3), [1]), 2.0),
        (aten.var.dim, sample(real(2, 3), [1]), 2.0),
        (aten.std.correction, sample(real(2, 3), [1]), 1.0),
        (aten.std.dim, sample(real(2, 3), [1]), 1.0),
    ]
)


def _of_order(name: str) -> Callable[[Arguments, frozenset[str]], bool]:
    return lambda arguments, _: bool(arguments[name] != 0)


# The norm of order 0 counts entries: `rules/stop.py` has it.
NORMS = tuple(
    Homogeneous(
        target=target,
        operands=("self",),
        samples=(call,),
        when=_of_order(order),
    )
    for target, order, call in [
        (aten.linalg_vector_norm.default, "ord", sample(real(2, 3), 2, [1])),
        (aten.norm.ScalarOpt_dim, "p", sample(real(2, 3), 2, [1])),
        (aten._pdist_forward.default, "p", sample(real(4, 3), 2.0)),
    ]
)

# Two results, each with its own degree.
SPREADS = (
    Homogeneous(
        target=aten.var_mean.correction,
        operands=("self",),
        samples=(sample(real(2, 3), [1], correction=0),),
        degree=(2.0, 1.0),
    ),
    Homogeneous(
        target=aten.std_mean.correction,
        operands=("self",),
        samples=(sample(real(2, 3), [1], correction=1, keepdim=True),),
        degree=(1.0, 1.0),
    ),
)

# Homogeneous only in both operands together: a distance to a constant is not.
DISTANCES = (
    Homogeneous(
        target=aten._cdist_forward.default,
        operands=("x1", "x2"),
        samples=(sample(real(2, 3), real(4, 3), 2.0, None),),
        when=lambda arguments, live: live == {"x1", "x2"} and arguments["p"] != 0,
    ),
    Homogeneous(
        target=aten.hypot.default,
        operands=("self", "other"),
        samples=(sample(real(2, 3), real(2, 3)),),
        when=lambda _, live: live == {"self", "other"},
        flat_at_zero=True,
        regular=never_zero("self"),
    ),
)


def count_factors(call: Call[Homogeneous]) -> Tensor:
    """Return how many factors each entry of a running product has, along its axis."""
    n, axis = call.out.shape[call["dim"]], call["dim"] % call.out.dim()
    counts = torch.arange(1, n + 1, dtype=call.out.dtype, device=call.out.device)
    return counts.view(-1, *([1] * (call.out.dim() - 1 - axis)))


# Each of n factors gets 1/n of what the product received.
PRODUCTS = (
    Homogeneous(
        target=aten.prod.default,
        operands=("self",),
        samples=(sample(real(2, 3)),),
        degree=lambda call: call["self"].numel(),
    ),
    Homogeneous(
        target=aten.prod.dim_int,
        operands=("self",),
        samples=(sample(real(2, 3), 1), sample(real(2, 3), 0, True)),
        degree=lambda call: call["self"].shape[call["dim"]],
    ),
    Homogeneous(
        target=aten.cumprod.default,
        operands=("self",),
        samples=(sample(real(2, 3), 1), sample(real(2, 3, 2), -2)),
        when=lambda arguments, _: value(arguments["self"]).dim() > 0,
        degree=count_factors,
    ),
)


def derivative(call: Call[Homogeneous], c: Arriving) -> tuple[Tensor, ...]:
    """Return torch's own derivative, and 0 at a zero where that is undefined."""
    found = call.vjp(c)
    if not call.op.flat_at_zero:
        return found
    return tuple(g.masked_fill(call.out == 0, 0.0) for g in found)


def degree_by_entry(call: Call[Homogeneous]) -> Tensor | None:
    """Return the degree of each entry, if they differ."""
    k = call.op.degree
    degree = k(call) if callable(k) else None
    return degree if isinstance(degree, Tensor) else None


def without_factors(call: Call[Homogeneous], c: Arriving, passed: Passed) -> dict[str, Tensor]:
    """Return what entries of degree 0 keep: no live operand is a factor of them."""
    degree = degree_by_entry(call)
    if degree is None:
        return {}
    assert isinstance(c, Tensor)
    return {"constant": flow_sum(call, c.masked_fill(degree != 0, 0.0), call.out)}


@rule(
    "euler",
    family=Homogeneous,
    cites="own: Euler's theorem on homogeneous functions",
    absorbs=without_factors,
)
def euler(call: Call[Homogeneous], c: Arriving) -> Coefficients:
    """Share by Euler's theorem: f(tx) = t^k f(x), so x f'(x) = k f(x) and c_in = f'(x)^T c / k."""
    k = call.op.degree
    if isinstance(k, tuple):
        parts = [None if part is None else part / n for part, n in zip(c, k, strict=True)]
        return derivative(call, parts)
    degree = k(call) if callable(k) else k
    if isinstance(degree, Tensor):  # each entry has its own
        assert isinstance(c, Tensor)
        return derivative(call, c / degree.clamp(min=1))
    return tuple(g / degree for g in derivative(call, c))


@rule("gradient", family=Homogeneous, cites="simonyan2014", absorbs="gradient")
def gradient(call: Call[Homogeneous], c: Arriving) -> Coefficients:
    """Return the plain gradient."""
    return derivative(call, c)
