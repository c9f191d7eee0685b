"""Serve norms, variances and products of entries, by closed forms of both runs.

What a record needs here beyond its family is the form of its op; a record without one is served by
the mean gradient along the segment between the runs, and what that leaves is booked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor
from torch.fx.node import Target

from lrp_engine.graphs.aten import aten
from lrp_engine.method.call import Arriving, Call, Coefficients, Passed
from lrp_engine.method.op import Homogeneous
from lrp_engine.method.relevance import widen
from lrp_engine.method.rule import rule
from lrp_engine.rules.two_runs.quadrature import integrate
from lrp_engine.rules.two_runs.runs import both, choice, over_settings, remainder
from lrp_engine.rules.two_runs.secant import entrywise_slopes, secant

Slopes = tuple[Tensor, ...]
Form = Callable[..., Slopes]


def inverse_sum(b: Tensor, a: Tensor) -> Tensor:
    """Return 1/(b + a), the secant of a square root by its two values; 0 where both are 0."""
    total = b + a
    return (1 / total.masked_fill(total == 0, 1.0)).masked_fill(total == 0, 0.0)


def restored(x: Tensor, like: Tensor, dims: Sequence[int] | None) -> Tensor:
    """Return reduced values with axes of size 1 where `like` was reduced."""
    if x.dim() == like.dim():
        return x
    for dim in sorted(d % like.dim() for d in (dims or range(like.dim()))):
        x = x.unsqueeze(dim)
    return x


def vector_norm(call: Call[Homogeneous], c: Tensor) -> Slopes:
    """Return c 2 xm / (f_a + f_b) for the 2-norm; other norms as a power, a sum and a root."""
    (operand,) = call.live
    b, a = map(widen, both(call, operand))
    order = call.arguments.get("ord", call.arguments.get("p", 2))
    dims = call.arguments.get("dim")
    if order in (torch.inf, -torch.inf, 0):
        return integrate(call, c)
    f_b, f_a, c = (restored(widen(x), b, dims) for x in (call.out, call.base.out, c))
    if order == 2:
        return (c * (b + a) * inverse_sum(f_b, f_a),)
    power = secant(lambda x: x.abs() ** order, b, a)
    root = secant(lambda s: s ** (1 / order), f_b**order, f_a**order)
    return ((c * root * power).masked_fill((c == 0) | ((b == 0) & (a == 0)), 0.0),)


def spread(call: Call[Homogeneous], c: Tensor, b: Tensor, a: Tensor, root: bool) -> Tensor:
    """Return the coefficient of a variance, c 2 um / (n - correction), or of its square root.

    `b` and `a` are the results of both runs.
    """
    (operand,) = call.live
    x_b, x_a = map(widen, both(call, operand))
    x = (x_b + x_a) / 2
    dims = call.arguments.get("dim") or list(range(x.dim()))
    centred = x - x.mean(dims, keepdim=True)
    count = x.numel() // x.mean(dims).numel()
    correction = call.arguments.get("correction")
    if correction is None:
        correction = 1 if call.arguments.get("unbiased", True) else 0
    c, b, a = (restored(widen(t), x, dims) for t in (c, b, a))
    return c * (inverse_sum(b, a) if root else 1.0) * 2 * centred / max(count - correction, 1)


def variance(call: Call[Homogeneous], c: Tensor, root: bool) -> Slopes:
    """Serve var and std."""
    return (spread(call, c, call.out, call.base.out, root),)


def spread_and_mean(call: Call[Homogeneous], c: Sequence[Tensor | None], root: bool) -> Slopes:
    """Serve var_mean and std_mean, whose second result is linear."""
    at_spread, at_mean = c
    total = torch.zeros_like(widen(call.operand(call.live[0])))
    if at_spread is not None:
        total = total + spread(call, at_spread, call.out[0], call.base.out[0], root)
    if at_mean is not None:
        total = total + call.vjp((None, at_mean))[0]
    return (total,)


def hypot(call: Call[Homogeneous], c: Tensor) -> Slopes:
    """Return c 2 xm / (f_a + f_b) for each side of sqrt(x^2 + y^2)."""
    root = inverse_sum(call.out, call.base.out)
    return tuple(
        (c * sum(both(call, o)) * root).sum_to_size(call.operand(o).shape) for o in call.live
    )


def distances(call: Call[Homogeneous], c: Tensor) -> Slopes:
    """Return c 2 um / (d_a + d_b) for Euclidean distances of rows, u = x1_i - x2_j."""
    if call["p"] != 2:
        return integrate(call, c)
    root = (c * inverse_sum(call.out, call.base.out)).unsqueeze(-1)
    x1, x2 = (call[n] + call.base[n] for n in ("x1", "x2"))
    flow = root * (x1.unsqueeze(-2) - x2.unsqueeze(-3))
    found = {"x1": flow.sum(-2), "x2": -flow.sum(-3)}
    return tuple(found[o.name].sum_to_size(call.operand(o).shape) for o in call.live)


def pairwise(call: Call[Homogeneous], c: Tensor) -> Slopes:
    """Return the same for the distances of all pairs of rows of one operand."""
    if call["p"] != 2:
        return integrate(call, c)
    x = call["self"] + call.base["self"]
    i, j = torch.triu_indices(x.shape[0], x.shape[0], 1, device=x.device)
    flow = (c * inverse_sum(call.out, call.base.out)).unsqueeze(-1) * (x[i] - x[j])
    return (torch.zeros_like(x).index_add(0, i, flow).index_add(0, j, -flow),)


def product_of_entries(call: Call[Homogeneous], c: Tensor) -> Slopes:
    """Go through the entries in order: those before at b, those after at a."""
    (operand,) = call.live
    b, a = map(widen, both(call, operand))
    c, axis = widen(c), 0
    if "dim" not in call.arguments:
        b, a, c = b.flatten(), a.flatten(), c.unsqueeze(0)
    else:
        axis = call["dim"]
        c = c if call["keepdim"] else c.unsqueeze(axis)
    halves = [_before(x, axis) * _after(y, axis) for x, y in ((b, a), (a, b))]
    return ((c * (halves[0] + halves[1]) / 2).reshape(call.operand(operand).shape),)


def _before(x: Tensor, axis: int) -> Tensor:
    """Return for each entry the product of all before it."""
    first = torch.ones_like(x.narrow(axis, 0, 1))
    return torch.cat([first, x.narrow(axis, 0, x.shape[axis] - 1)], axis).cumprod(axis)


def _after(x: Tensor, axis: int) -> Tensor:
    """Return for each entry the product of all after it."""
    return _before(x.flip(axis), axis).flip(axis)


FORMS: dict[Target, Form] = {
    aten.var.correction: partial(variance, root=False),
    aten.var.dim: partial(variance, root=False),
    aten.std.correction: partial(variance, root=True),
    aten.std.dim: partial(variance, root=True),
    aten.var_mean.correction: partial(spread_and_mean, root=False),
    aten.std_mean.correction: partial(spread_and_mean, root=True),
    aten.linalg_vector_norm.default: vector_norm,
    aten.norm.ScalarOpt_dim: vector_norm,
    aten.hypot.default: hypot,
    aten._cdist_forward.default: distances,
    aten._pdist_forward.default: pairwise,
    aten.prod.default: product_of_entries,
    aten.prod.dim_int: product_of_entries,
}


def slopes(call: Call[Homogeneous], c: Arriving) -> Slopes:
    """Return the coefficients by the op's closed form, or along the segment."""
    form = FORMS.get(call.op.target)
    if form is None and call.op.elementwise and isinstance(c, Tensor):
        return entrywise_slopes(call, c)
    if form is None:
        return integrate(call, c)
    found = form(call, c)
    return tuple(k.to(call.operand(o).dtype) for o, k in zip(call.live, found, strict=True))


def is_closed(call: Call[Homogeneous]) -> bool:
    """Return whether a call has a closed form."""
    orders = [call.arguments.get(name) for name in ("ord", "p")]
    if call.op.target in (aten._cdist_forward.default, aten._pdist_forward.default):
        return bool(call["p"] == 2)
    return call.op.target in FORMS and not set(orders) & {torch.inf, -torch.inf, 0}


def left(call: Call[Homogeneous], c: Arriving, passed: Passed) -> dict[str, Tensor]:
    """Return what is left where the gradient along the segment was summed at points."""
    if is_closed(call) or call.op.elementwise:
        return choice(call, c, passed)
    return remainder(call, c, passed, "integration")


@rule(
    "delta",
    family=Homogeneous,
    cites="own: exact differences, docs/two-runs.md",
    absorbs=left,
    runs=2,
)
def homogeneous(call: Call[Homogeneous], c: Arriving) -> Coefficients:
    """Pass the difference on by closed forms: of squares 2 xm dx, of roots 1/(f_a + f_b)."""
    return over_settings(call, lambda one: slopes(one, c))
