"""Serve softmax, its logarithm, and log-sum-exp by logarithmic means of both runs' weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lrp_engine.graphs.aten import aten
from lrp_engine.graphs.precision import change
from lrp_engine.method.call import Call, Coefficients
from lrp_engine.method.op import Softmax
from lrp_engine.method.relevance import widen
from lrp_engine.method.rule import rule
from lrp_engine.rules.two_runs.runs import both, choice, over_settings

_LOGARITHMS = (aten.log_softmax.int, aten._log_softmax.default)


def logarithmic_mean(p: Tensor, q: Tensor, log_ratio: Tensor) -> Tensor:
    """Return (p - q) / (log p - log q), and the mean where both are nearly equal.

    Args:
        p: Positive weights, or zeros.
        q: Weights of the same shape.
        log_ratio: log p - log q, in which nothing cancels.

    Returns:
        Means of the same shape, symmetric in p and q; 0 where both are 0.
    """
    near = log_ratio.abs() < torch.finfo(p.dtype).eps ** 0.25
    # (e^u - 1)/u around 0 with the middle taken out: sqrt(p q) (1 + u^2/24 + ...)
    close = torch.sqrt(p * q) * (1 + log_ratio.square() / 24 * (1 + log_ratio.square() / 80))
    return torch.where(near, close, (p - q) / log_ratio.masked_fill(near, 1.0))


def softmax_adjoint(c: Tensor, log_b: Tensor, log_a: Tensor, dim: int) -> Tensor:
    """Return L (c - sum(L c) / sum(L)) for weights e^log: invariant to shifts, exact.

    L_i = (p_i^b - p_i^a) / (log p_i^b - log p_i^a), 0 where both weights are 0. At a = b it is the
    Jacobian's product with c.
    """
    mean = logarithmic_mean(log_b.exp(), log_a.exp(), change(log_b, log_a))
    carried = mean * c
    total = mean.sum(dim, keepdim=True)
    level = carried.sum(dim, keepdim=True) / total.masked_fill(total == 0, 1.0)
    return carried - mean * level


def log_weights(x: Tensor, dim: int) -> Tensor:
    """Return log softmax; -inf for every entry of a row that is masked throughout."""
    return torch.log_softmax(widen(x), dim).masked_fill(x == -torch.inf, -torch.inf)


def share_of_sum(b: Tensor, a: Tensor, dims: list[int]) -> Tensor:
    """Return w with sum w (b - a) = logsumexp(b) - logsumexp(a), along `dims`.

    It is the secant of every exponential over that of the logarithm of their sum.
    """
    b, a = widen(b), widen(a)
    top = torch.maximum(b.amax(dims, True), a.amax(dims, True))
    top = top.masked_fill(top.isinf(), 0.0)
    (e_b, e_a), step = ((x - top).exp() for x in (b, a)), change(b, a)
    s_b, s_a = e_b.sum(dims, True), e_a.sum(dims, True)
    steps = logarithmic_mean(e_b, e_a, step)
    log_step = change(s_b.log(), s_a.log())
    return steps / logarithmic_mean(s_b, s_a, log_step)


def slopes(call: Call[Softmax], c: Tensor) -> tuple[Tensor, ...]:
    """Return the coefficient of the scores."""
    (operand,) = call.live
    b, a = both(call, operand)
    given = call["dim"]
    if isinstance(given, (list, tuple)):
        flat = c if call["keepdim"] else _restored(c, b, given)
        return ((flat * share_of_sum(b, a, list(given))).to(c.dtype),)
    if call.op.target in _LOGARITHMS:
        back = c - c.sum(given, keepdim=True) * share_of_sum(b, a, [given])
    else:
        back = softmax_adjoint(c, log_weights(b, given), log_weights(a, given), given)
    return (back.to(b.dtype),)


def _restored(c: Tensor, like: Tensor, dims: Sequence[int]) -> Tensor:
    """Return c with the reduced axes as axes of size 1."""
    for dim in sorted(d % like.dim() for d in dims):
        c = c.unsqueeze(dim)
    return c


@rule(
    "delta",
    family=Softmax,
    cites="own: exact differences, docs/two-runs.md",
    absorbs=choice,
    runs=2,
)
def softmax(call: Call[Softmax], c: Tensor) -> Coefficients:
    """Pass on L (c - mean of c by L), L the logarithmic mean of both runs' weights."""
    return over_settings(call, lambda one: slopes(one, c))
