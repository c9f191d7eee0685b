"""Serve softmax and fused attention."""

from __future__ import annotations

from torch import Tensor

from lrp_engine.graphs.aten import aten
from lrp_engine.method.call import Call, Coefficients, Passed
from lrp_engine.method.op import Attention, Op, Softmax
from lrp_engine.method.relevance import sum_relevance
from lrp_engine.method.rule import rule
from lrp_engine.method.samples import real, sample

SOFTMAX = tuple(
    Softmax(
        target=target,
        operands=("self",),
        samples=(call,),
        bounded="safe" in str(target),
        squashes=target is not aten.logsumexp.default,
    )
    for target, call in [
        (aten.softmax.int, sample(real(2, 3), -1)),
        (aten._softmax.default, sample(real(2, 3), -1, False)),
        (aten._safe_softmax.default, sample(real(2, 3), -1)),
        (aten.log_softmax.int, sample(real(2, 3), -1)),
        (aten._log_softmax.default, sample(real(2, 3), -1, False)),
        (aten.logsumexp.default, sample(real(2, 3), [1])),
    ]
)

_QKV = (real(2, 2, 4, 3), real(2, 2, 5, 3), real(2, 2, 5, 3))

FUSED = (
    Attention(
        target=aten.scaled_dot_product_attention.default,
        operands=("query", "key", "value", "attn_mask"),
        switches=("attn_mask",),
        samples=(
            sample(*_QKV),
            sample(real(1, 2, 4, 3), real(1, 2, 4, 3), real(1, 2, 4, 3), is_causal=True),
            sample(*_QKV, real(2, 4, 5)),
        ),
    ),
)


@rule("taylor", family=Softmax, cites="achtibat2024, prop. 3.1", absorbs="taylor")
def taylor(call: Call[Attention], c: Tensor) -> Coefficients:
    """Take the first Taylor term, c_in = J^T c: R_i = x_i (R_i^out - s_i sum_j R_j^out)."""
    return call.vjp(c)


@rule("stopped", family=Softmax, cites="ali2022, eq. 8", stops=True)
def stopped(call: Call[Attention], c: Tensor) -> Coefficients:
    """Take attention weights for constants (CP-LRP, AH-rule)."""
    return tuple(None for _ in call.live)


@rule("gradient", family=Softmax, cites="simonyan2014", absorbs="gradient")
def softmax_gradient(call: Call[Attention], c: Tensor) -> Coefficients:
    """Return the plain gradient."""
    return call.vjp(c)


SCORES = ("query", "key", "attn_mask")  # what softmax(query key^T * scale + mask) is made of


def split_of(call: Call[Attention]) -> dict[str, float]:
    """Return each operand's share of its gradient.

    1/2 per live side of weights times values, and 1/2 again per live side of query times key; what
    is added to the scores (a bias between pairs) is a summand.
    """
    weights = any(map(call.is_live, SCORES))
    outer = 0.5 if weights and call.is_live("value") else 1.0
    inner = 0.5 if call.is_live("query") and call.is_live("key") else 1.0
    product = outer * inner
    return {"value": outer, "query": product, "key": product, "attn_mask": outer}


def softmax_remainder(call: Call[Attention], c: Tensor, passed: Passed) -> dict[str, Tensor]:
    """Return what softmax's Taylor term leaves: the weights' share less that of the scores.

    Query and key must pass on the same amount, so twice the query's side is the scores'.
    """
    shares = split_of(call)
    back = {
        o.name: sum_relevance(k, call.operand(o)) for o, k in zip(call.live, passed, strict=True)
    }
    sides = [back[name] for name in ("query", "key") if name in back]
    if not any(map(call.is_live, SCORES)):
        return {}
    weights = 1.0 - (shares["value"] if "value" in back else 0.0)
    of_scores = len(sides) * sides[0] if sides else 0.0
    of_scores = of_scores + back.get("attn_mask", 0.0)
    return {"taylor": weights * sum_relevance(c, call.out) - of_scores}


@rule(
    "attnlrp", family=Attention, cites="achtibat2024, prop. 3.1 and 3.3", absorbs=softmax_remainder
)
def attnlrp(call: Call[Attention], c: Tensor) -> Coefficients:
    """Split evenly at both products, by Taylor at softmax: the kernel's backward, scaled."""
    shares, grads = split_of(call), call.vjp(c)
    return tuple(g * shares[o.name] for o, g in zip(call.live, grads, strict=True))


def only_value(op: Op) -> tuple[str, ...]:
    """Return the values alone."""
    return ("value",)


@rule("softmax_stopped", family=Attention, cites="ali2022, eq. 8", carries=only_value)
def softmax_stopped(call: Call[Attention], c: Tensor) -> Coefficients:
    """Take the attention weights for constants (CP-LRP): all relevance goes to the values."""
    return call.vjp(c)


@rule("gradient", family=Attention, cites="simonyan2014", absorbs="gradient")
def gradient(call: Call[Attention], c: Tensor) -> Coefficients:
    """Return the plain gradient."""
    return call.vjp(c)
