"""Serve maxima, minima and other choices among entries.

A maximum over entries is a chain of m_j = m_(j-1) + relu(x_j - m_(j-1)), whose rectifiers have
secants. What picks several entries by order (sort, top-k) takes the mean of both runs' choices.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from lrp_engine.graphs.aten import aten
from lrp_engine.graphs.precision import change
from lrp_engine.method.call import Arriving, Call, Coefficients, Passed
from lrp_engine.method.op import Selection
from lrp_engine.method.relevance import widen
from lrp_engine.method.rule import rule
from lrp_engine.rules.pooling import has_windows, per_axis
from lrp_engine.rules.two_runs.runs import at, both, choice, over_settings, remainder
from lrp_engine.rules.two_runs.secant import entrywise_slopes, is_entrywise_choice

_LARGEST = (aten.amax.default, aten.max.default, aten.max.dim)
_ADAPTIVE = (
    aten.adaptive_max_pool1d.default,
    aten.adaptive_max_pool2d.default,
    aten.adaptive_max_pool3d.default,
)
_SMALLEST = (aten.amin.default, aten.min.default, aten.min.dim)


class Candidates(NamedTuple):
    """The entries that each result is picked from.

    `spread` puts them along a new last axis, and is linear but for its filling of `-inf`; `sign`
    is -1 where the smallest is picked.
    """

    spread: Callable[[Tensor, float], Tensor]
    sign: float


def rectifier_secant(b: Tensor, a: Tensor) -> Tensor:
    """Return (relu(b) - relu(a)) / (b - a), the mean of both slopes where b = a."""
    mixed = (b > 0) != (a > 0)
    step = change(b, a)
    part = change(b.clamp(min=0), a.clamp(min=0)) / step.masked_fill(step == 0, 1.0)
    return torch.where(mixed & step.isfinite(), part, ((b > 0).to(b) + (a > 0).to(b)) / 2)


def shares_of_maximum(b: Tensor, a: Tensor) -> Tensor:
    """Return w with sum w (b - a) = max(b) - max(a) along the last axis."""

    def steps(x: Tensor) -> Tensor:
        return x[..., 1:] - x.cummax(-1).values[..., :-1]

    won = rectifier_secant(steps(b), steps(a))
    first = torch.ones_like(b[..., :1])
    kept = torch.cat([1 - won, first], -1).flip(-1).cumprod(-1).flip(-1)
    return torch.cat([first, won], -1) * kept


def candidates_of(call: Call[Selection]) -> Candidates | None:
    """Return what a maximum, minimum or max pooling picks from; None for other choices."""
    if call.op.target in (*_LARGEST, *_SMALLEST):
        sign = -1.0 if call.op.target in _SMALLEST else 1.0
        return Candidates(lambda x, _: _reduced_last(call, x), sign)
    if has_windows(call.op):
        return Candidates(lambda x, fill: windows(call, x, fill), 1.0)
    if call.op.target in _ADAPTIVE and all(isinstance(n, int) for n in call["self"].shape):
        return Candidates(lambda x, fill: adaptive_windows(x, call["output_size"], fill), 1.0)
    return None


def _reduced_last(call: Call[Selection], x: Tensor) -> Tensor:
    """Return the reduced axes as one last axis."""
    given = call.arguments.get("dim")
    dims = [given] if isinstance(given, int) else list(given or range(x.dim()))
    last = list(range(x.dim() - len(dims), x.dim()))
    return x.movedim(dims, last).flatten(-len(dims)) if dims else x.unsqueeze(-1)


def windows(call: Call[Selection], x: Tensor, fill: float) -> Tensor:
    """Return pooling windows along a new last axis; beyond the edges they hold `fill`."""
    names = ("kernel_size", "dilation", "padding")
    kernel, dilation, padding = (per_axis(call, name) for name in names)
    stride = per_axis(call, "stride") or kernel
    out = call.out if isinstance(call.out, Tensor) else call.out[0]
    n = len(kernel)
    first = x.dim() - n
    for i in range(n):
        # Each unfold appends the window's axis and keeps the others in their place.
        axis, reach = first + i, (kernel[i] - 1) * dilation[i] + 1
        size = (out.shape[out.dim() - n + i] - 1) * stride[i] + reach
        after = size - x.shape[axis] - padding[i]
        edges = [0, 0] * (x.dim() - 1 - axis) + [padding[i], after]
        x = F.pad(x, edges, value=fill).unfold(axis, reach, stride[i])[..., :: dilation[i]]
    return x.flatten(-n)


def adaptive_windows(x: Tensor, sizes: Sequence[int], fill: float) -> Tensor:
    """Return windows from floor(i n / m) to ceil((i + 1) n / m) along a new last axis."""
    n = len(sizes)
    first = x.dim() - n
    for i, m in enumerate(sizes):
        axis = first + i
        starts = torch.arange(m) * x.shape[axis] // m
        ends = -(-(torch.arange(m) + 1) * x.shape[axis] // m)
        places = starts[:, None] + torch.arange(int((ends - starts).max()))
        beyond = (places >= ends[:, None]).to(x.device)
        chosen = places.clamp(max=x.shape[axis] - 1).flatten().to(x.device)
        spread = (*x.shape[:axis], *places.shape, *x.shape[axis + 1 :])
        x = x.index_select(axis, chosen).reshape(spread).movedim(axis + 1, -1)
        x = x.masked_fill(beyond.view(m, *[1] * (x.dim() - axis - 2), -1), fill)
    return x.flatten(-n)


def by_maximum(call: Call[Selection], picked: Candidates, c: Tensor) -> tuple[Tensor, ...]:
    """Return each entry's share of every maximum that it was a candidate for."""
    (operand,) = call.live
    b, a = (widen(x) * picked.sign for x in both(call, operand))
    share = shares_of_maximum(picked.spread(b, -torch.inf), picked.spread(a, -torch.inf))
    with torch.enable_grad():
        leaf = torch.zeros_like(b).requires_grad_()
        spread = picked.spread(leaf, 0.0)
        flow = widen(c).reshape(share.shape[:-1]).unsqueeze(-1) * share
        (back,) = torch.autograd.grad(spread, leaf, flow)
    return (back.to(c.dtype),)


def by_both_choices(call: Call[Selection], c: Arriving) -> tuple[Tensor, ...]:
    """Return the mean of what either run's choice passes on."""
    found = zip(at(call, 1.0).vjp(c), at(call, 0.0).vjp(c), strict=True)
    return tuple((b + a) / 2 for b, a in found)


def slopes(call: Call[Selection], c: Arriving) -> tuple[Tensor, ...]:
    """Return the coefficients of what is chosen from."""
    if is_entrywise_choice(call.op):
        assert isinstance(c, Tensor)
        return entrywise_slopes(call, c)
    picked = candidates_of(call)
    first = c if isinstance(c, Tensor) else c[0]
    if picked is None or first is None:
        return by_both_choices(call, c)
    return by_maximum(call, picked, first)


def left_by_choice(call: Call[Selection], c: Arriving, passed: Passed) -> dict[str, Tensor]:
    """Return what ops leave that pick by order, and constants that differ between the runs."""
    exact = is_entrywise_choice(call.op) or candidates_of(call) is not None
    return choice(call, c, passed) if exact else remainder(call, c, passed)


@rule(
    "delta",
    family=Selection,
    cites="own: exact differences, docs/two-runs.md",
    absorbs=left_by_choice,
    runs=2,
)
def selection(call: Call[Selection], c: Arriving) -> Coefficients:
    """Share a maximum by its chain of rectifiers, other choices by the mean of both runs'."""
    return over_settings(call, lambda one: slopes(one, c))
