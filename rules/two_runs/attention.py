"""Serve fused attention: two products at the midpoint, and softmax by logarithmic means."""

from __future__ import annotations

import math

from torch import Tensor

from lrp_engine.method.call import Call, Coefficients
from lrp_engine.method.op import Attention
from lrp_engine.method.relevance import widen
from lrp_engine.method.rule import rule
from lrp_engine.rules.two_runs.attention_blocks import scores, two_run_attention
from lrp_engine.rules.two_runs.runs import choice, over_settings
from lrp_engine.rules.two_runs.softmax import log_weights, softmax_adjoint


def repeated(call: Call[Attention], name: str) -> Tensor:
    """Return keys or values with one head for every head of the queries."""
    x: Tensor = call[name]
    heads = call["query"].shape[-3] if call["query"].dim() > 2 else 1
    return x.repeat_interleave(heads // x.shape[-3], -3) if call.arguments["enable_gqa"] else x


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


def at_mask(call: Call[Attention], c: Tensor) -> Tensor:
    """Return the coefficient of an additive mask that carries relevance: that of the scores."""
    logs = []
    for run in (call, call.base):
        query, key = widen(run["query"]), widen(repeated(run, "key"))
        found = scores(query, key, run["attn_mask"], scale_of(run))
        logs.append(log_weights(found, -1))
    value = (widen(repeated(call, "value")) + widen(repeated(call.base, "value"))) / 2
    return softmax_adjoint(widen(c) @ value.transpose(-2, -1), logs[0], logs[1], -1)


def slopes(call: Call[Attention], c: Tensor) -> tuple[Tensor, ...]:
    """Return the coefficients of query, key, value and an additive mask."""
    shares = call.arguments["enable_gqa"]
    runs = [
        [run["query"], repeated(run, "key"), repeated(run, "value")] for run in (call, call.base)
    ]
    masks = (call["attn_mask"], call.base["attn_mask"])
    passed = two_run_attention(c, *runs, *masks, call["is_causal"], scale_of(call))
    found = dict(zip(("query", "key", "value"), passed, strict=True))
    if call.is_live("attn_mask"):
        found["attn_mask"] = at_mask(call, c)
    return tuple(
        gathered(found[o.name], call.operand(o), shares and o.name in ("key", "value"))
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
