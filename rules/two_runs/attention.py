"""Serve fused attention: two products at the midpoint, and softmax by logarithmic means."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lrp_engine.method.call import Call, Coefficients
from lrp_engine.method.op import Attention
from lrp_engine.method.relevance import widen
from lrp_engine.method.rule import rule
from lrp_engine.rules.two_runs.runs import choice, over_settings
from lrp_engine.rules.two_runs.softmax import log_weights, softmax_adjoint


def repeated(call: Call[Attention], name: str) -> Tensor:
    """Return keys or values with one head for every head of the queries."""
    x, heads = widen(call[name]), call["query"].shape[-3] if call["query"].dim() > 2 else 1
    return x.repeat_interleave(heads // x.shape[-3], -3) if call.arguments["enable_gqa"] else x


def scores(call: Call[Attention]) -> Tensor:
    """Return query key^T * scale + mask, -inf where nothing is looked at."""
    query, key, mask = widen(call["query"]), repeated(call, "key"), call["attn_mask"]
    found = query @ key.transpose(-2, -1) * scale_of(call)
    if call["is_causal"]:
        later = torch.ones(found.shape[-2:], dtype=torch.bool, device=found.device).triu(1)
        found = found.masked_fill(later, -torch.inf)
    if mask is None:
        return found
    return found.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else found + mask


def scale_of(call: Call[Attention]) -> float:
    """Return what query key^T is multiplied by."""
    given: float | None = call["scale"]
    return 1 / math.sqrt(call["query"].shape[-1]) if given is None else given


def gathered(c: Tensor, like: Tensor, repeats: bool) -> Tensor:
    """Return what heads that share keys or values get together, in their own shape."""
    if repeats:
        heads = like.shape[-3]
        c = c.reshape(*c.shape[:-3], heads, -1, *c.shape[-2:]).sum(-3)
    return c.sum_to_size(like.shape).to(like.dtype)


def slopes(call: Call[Attention], c: Tensor) -> tuple[Tensor, ...]:
    """Return the coefficients of query, key, value and an additive mask."""
    c = widen(c)
    logs = [log_weights(scores(one), -1) for one in (call, call.base)]
    weights = (logs[0].exp() + logs[1].exp()).nan_to_num(0.0) / 2
    query = (widen(call["query"]) + widen(call.base["query"])) / 2
    key, value = ((repeated(call, n) + repeated(call.base, n)) / 2 for n in ("key", "value"))
    at_scores = softmax_adjoint(c @ value.transpose(-2, -1), logs[0], logs[1], -1)
    inside, shares = at_scores * scale_of(call), call.arguments["enable_gqa"]
    found = {
        "query": lambda: inside @ key,
        "key": lambda: inside.transpose(-2, -1) @ query,
        "value": lambda: weights.transpose(-2, -1) @ c,
        "attn_mask": lambda: at_scores,
    }
    return tuple(
        gathered(found[o.name](), call.operand(o), shares and o.name in ("key", "value"))
        for o in call.live
    )


@rule(
    "delta",
    family=Attention,
    cites="own: exact differences, docs/two-runs.md",
    absorbs=choice,
    runs=2,
)
def attention(call: Call[Attention], c: Tensor) -> Coefficients:
    """Pass through weights times values, softmax, and query times key, exactly."""
    return over_settings(call, lambda one: slopes(one, c))
