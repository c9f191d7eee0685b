"""Treat max pooling as a sum: the window shares in proportion, or the winner takes most."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lrp_engine.graphs.schema import declared_arguments
from lrp_engine.method.call import Arriving, Call, Coefficients, Form, at_result
from lrp_engine.method.op import Op, Selection
from lrp_engine.method.parameters import NotNegative, Positive
from lrp_engine.method.relevance import stabilise
from lrp_engine.method.rule import rule


def has_windows(op: Op) -> bool:
    """Return whether an op pools over windows of fixed size."""
    return any(a.name == "kernel_size" for a in declared_arguments(op.target))


def per_axis(call: Call[Selection], name: str) -> list[int]:
    """Return a pooling setting for each spatial axis."""
    declared = next(a for a in declared_arguments(call.op.target) if a.name == "kernel_size")
    given = call[name]
    items = list(given) if isinstance(given, (list, tuple)) else [given]
    axes: int = getattr(declared, "N", 1)  # the stubs of torch lack it
    return items * axes if len(items) == 1 else items


def windows(call: Call[Selection], x: Tensor, fill: float) -> Tensor:
    """Return the entries that each result was picked from, along a new last axis.

    `fill` is what the padding holds.
    """
    if call["ceil_mode"]:
        raise ValueError("with ceil_mode, windows may reach beyond the padding: not supported")
    kernel, dilation, padding = (per_axis(call, k) for k in ("kernel_size", "dilation", "padding"))
    stride = per_axis(call, "stride") or kernel
    n = len(kernel)
    x = F.pad(x, [p for q in reversed(padding) for p in (q, q)], value=fill)
    first = x.dim() - n
    for i in range(n):
        # Each unfold appends the window's axis and keeps the others in their place.
        x = x.unfold(first + i, (kernel[i] - 1) * dilation[i] + 1, stride[i])
        x = x[..., :: dilation[i]]
    return x.flatten(-n)


def gather(call: Call[Selection], flow: Tensor) -> Tensor:
    """Apply the adjoint of `windows`: add up what every entry gets from its windows."""
    (x,) = map(call.operand, call.live)
    with torch.enable_grad():
        leaf = torch.zeros_like(x).requires_grad_()
        spread = windows(call, leaf, 0.0)
        (back,) = torch.autograd.grad(spread, leaf, flow.expand_as(spread))
    return back


def relevance(call: Call[Selection], c: Arriving) -> Tensor:
    """Return R at the pooled values, with a new last axis."""
    flow, out = at_result(c), call.out if isinstance(c, Tensor) else call.out[0]
    return (flow if call.form is Form.RELEVANCE else flow * out).unsqueeze(-1)


@rule(
    "proportional",
    family=Selection,
    cites="montavon2017",
    takes=Form.EITHER,
    absorbs="stabiliser",
    serves=has_windows,
)
def proportional(
    call: Call[Selection], c: Arriving, stabiliser: NotNegative = 1e-6
) -> Coefficients:
    """Share as in sum pooling, for x >= 0: R_i = sum_j x_i R_j / sum of x over window j."""
    (x,) = map(call.operand, call.live)
    total = windows(call, x, 0.0).sum(-1, keepdim=True)
    return call.only(gather(call, relevance(call, c) / stabilise(total, stabiliser)))


@rule(
    "takes_most",
    family=Selection,
    cites="kauffmann2020",
    takes=Form.EITHER,
    gives=Form.RELEVANCE,
    serves=has_windows,
)
def takes_most(call: Call[Selection], c: Arriving, beta: Positive = 1.0) -> Coefficients:
    """Share by p, the softmax of beta x over window j: R_i = sum_j p_ij R_j."""
    (x,) = map(call.operand, call.live)
    share = torch.softmax(beta * windows(call, x, -torch.inf), -1)
    return call.only(gather(call, share * relevance(call, c)))
