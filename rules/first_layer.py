"""Define rules for a first layer, whose input has no meaningful zero: z-box, w^2, flat.

What they give is not a multiple of the input: it leaves as relevance, not as a coefficient.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lrp_engine.method.call import Call, Coefficients, Form, Passed
from lrp_engine.method.op import WeightedSum
from lrp_engine.method.parameters import NotNegative
from lrp_engine.method.relevance import stabilise, sum_relevance
from lrp_engine.method.rule import rule
from lrp_engine.rules.epsilon import Bias
from lrp_engine.rules.weighted_sum_terms import (
    apply_transpose,
    bias_of,
    input_of,
    relevance,
    sum_weighted,
    weight_of,
)

Bound = float | tuple[float, ...]


def boundary(call: Call[WeightedSum], bound: Bound) -> Tensor:
    """Return the lowest or highest value of every input, given as one number or one per channel."""
    x, spatial = input_of(call), max(weight_of(call).dim() - 2, 0)
    if not isinstance(bound, tuple):
        return torch.full_like(x, bound)
    channels = torch.cat([x.new_full((1,), value) for value in bound])
    return channels.view((-1,) + (1,) * spatial).expand_as(x)


@rule(
    "z_box",
    family=WeightedSum,
    cites="montavon2017, zB-rule",
    takes=Form.EITHER,
    gives=Form.RELEVANCE,
    absorbs="stabiliser",
)
def z_box(
    call: Call[WeightedSum], c: Tensor, low: Bound, high: Bound, stabiliser: NotNegative = 1e-6
) -> Coefficients:
    """Share by d_ij = x_i w_ij - low_i w_ij+ - high_i w_ij-: R_i = sum_j d_ij R_j / sum_i d_ij."""
    x, w = input_of(call), weight_of(call)
    up, down = w.clamp(min=0), w.clamp(max=0)
    x_low, x_high = boundary(call, low), boundary(call, high)
    z = sum_weighted(call, x, w) - sum_weighted(call, x_low, up) - sum_weighted(call, x_high, down)
    q = relevance(call, c) / stabilise(z, stabiliser)
    box = x_low * apply_transpose(call, q, up) + x_high * apply_transpose(call, q, down)
    return call.only(x * apply_transpose(call, q) - box)


def spread(
    call: Call[WeightedSum], c: Tensor, weight: Tensor, bias: Tensor | None, stabiliser: float
) -> Tensor:
    """Share by weights v_ij alone: R_i = sum_j v_ij R_j / (sum_i v_ij + bias)."""
    z = sum_weighted(call, torch.ones_like(input_of(call)), weight)
    z = z if bias is None else z + bias
    return apply_transpose(call, relevance(call, c) / stabilise(z, stabiliser), weight)


def squared_absorbs(
    call: Call[WeightedSum], c: Tensor, passed: Passed, stabiliser: float, bias: Bias
) -> dict[str, Tensor]:
    """Return the squared bias' share of the squares, and as the stabiliser's the rest."""
    b, w = bias_of(call), weight_of(call)
    squares = sum_weighted(call, torch.ones_like(input_of(call)), w.square())
    own = squares if b is None or bias is not Bias.ABSORB else squares + b.square()
    r = relevance(call, c)
    kept = r / stabilise(own, stabiliser)
    return {"stabiliser": sum_relevance(r, torch.ones_like(r)) - sum_relevance(kept, own)} | (
        {} if own is squares else {"bias": sum_relevance(kept, own - squares)}
    )


@rule(
    "w_square",
    family=WeightedSum,
    cites="montavon2017, w^2-rule",
    takes=Form.EITHER,
    gives=Form.RELEVANCE,
    absorbs=squared_absorbs,
)
def w_square(
    call: Call[WeightedSum], c: Tensor, stabiliser: NotNegative = 1e-6, bias: Bias = Bias.ABSORB
) -> Coefficients:
    """Share by squares: R_i = sum_j w_ij^2 R_j / sum_i w_ij^2, the bias one more weight or not."""
    b = bias_of(call)
    extra = b.square() if b is not None and bias is Bias.ABSORB else None
    return call.only(spread(call, c, weight_of(call).square(), extra, stabiliser))


@rule(
    "flat",
    family=WeightedSum,
    cites="lapuschkin2019",
    takes=Form.EITHER,
    gives=Form.RELEVANCE,
    absorbs="stabiliser",
)
def flat(call: Call[WeightedSum], c: Tensor, stabiliser: NotNegative = 1e-6) -> Coefficients:
    """Share evenly among the n_j inputs of a sum: R_i = sum_j R_j / n_j."""
    return call.only(spread(call, c, torch.ones_like(weight_of(call)), None, stabiliser))
