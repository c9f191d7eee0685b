"""Define LRP-0 and LRP-epsilon for weighted sums, and what becomes of the bias under them."""

from __future__ import annotations

from enum import Enum

import torch
from torch import Tensor

from lrp_engine.method.call import Call, Coefficients, Form, Passed
from lrp_engine.method.op import WeightedSum
from lrp_engine.method.parameters import NotNegative
from lrp_engine.method.relevance import flow_sum, sum_relevance
from lrp_engine.method.rule import rule
from lrp_engine.rules.weighted_sum_terms import (
    apply_transpose,
    bias_of,
    relevance,
    share_out,
    without_bias,
)


class Bias(Enum):
    """The treatment of the bias' share of a weighted sum's relevance.

    ABSORB: it stays with the bias, and the ledger books it. DISTRIBUTE: the inputs share it in
    proportion to what they contribute. MAGNITUDE: it stays there, but the share is
    |b| / (|z - b| + |b|), as DynamicLRP splits sums.
    """

    ABSORB = "absorb"
    DISTRIBUTE = "distribute"
    MAGNITUDE = "magnitude"


def bias_share(call: Call[WeightedSum], c: Tensor) -> dict[str, Tensor]:
    """Return the sum of c * b, which the bias contributed."""
    bias = bias_of(call)
    return {} if bias is None else {"bias": sum_relevance(c, bias.expand_as(c))}


def zero_absorbs(call: Call[WeightedSum], c: Tensor, passed: Passed) -> dict[str, Tensor]:
    """Return the bias' share: LRP-0 loses nothing else."""
    return bias_share(call, c)


@rule("zero", family=WeightedSum, cites="bach2015, eq. 56", absorbs=zero_absorbs)
def zero(call: Call[WeightedSum], c: Tensor) -> Coefficients:
    """Share in proportion to x_i w_ij (LRP-0): R_i = sum_j x_i w_ij R_j / z_j, or c_in = W^T c."""
    return call.only(apply_transpose(call, c))


@rule("gradient", family=WeightedSum, cites="simonyan2014", absorbs=zero_absorbs)
def gradient(call: Call[WeightedSum], c: Tensor) -> Coefficients:
    """Return the plain gradient W^T c, the same as LRP-0 in coefficient form."""
    return call.only(apply_transpose(call, c))


def quotient(call: Call[WeightedSum], flow: Tensor, epsilon: float, bias: Bias) -> Tensor:
    """Return R_j / (z_j + epsilon sign z_j), with z_j including the bias or not."""
    b = bias_of(call)
    if b is None or bias is Bias.ABSORB:
        return share_out(call, flow, call.out, epsilon)
    own = without_bias(call)
    kept = share_out(call, flow, own, epsilon)
    if bias is Bias.DISTRIBUTE:
        return kept
    return kept * (own.abs() / (own.abs() + b.abs()).clamp_min(torch.finfo(own.dtype).tiny))


def absorbs(
    call: Call[WeightedSum], flow: Tensor, passed: Passed, epsilon: float, bias: Bias
) -> dict[str, Tensor]:
    """Return the share of the bias, and as the stabiliser's what is missing from R."""
    b, kept = bias_of(call), quotient(call, flow, epsilon, bias)
    if b is None:
        taken, own = {}, call.out
    elif bias is Bias.MAGNITUDE:
        own = without_bias(call)
        share = b.abs() / (own.abs() + b.abs()).clamp_min(torch.finfo(own.dtype).tiny)
        taken = {"bias": sum_relevance(relevance(call, flow), share)}
    else:
        own = without_bias(call)
        taken = bias_share(call, kept) if bias is Bias.ABSORB else {}
    rest = flow_sum(call, flow, call.out) - sum_relevance(kept, own) - sum(taken.values())
    return {"stabiliser": rest} | taken


@rule("epsilon", family=WeightedSum, cites="bach2015, eq. 58", takes=Form.EITHER, absorbs=absorbs)
def epsilon(
    call: Call[WeightedSum], c: Tensor, epsilon: NotNegative = 1e-6, bias: Bias = Bias.ABSORB
) -> Coefficients:
    """Share by x_i w_ij, stabilised: R_i = sum_j x_i w_ij R_j / (z_j + epsilon sign z_j).

    z_j includes the bias unless `bias` distributes its share.
    """
    return call.only(apply_transpose(call, quotient(call, c, epsilon, bias)))
