"""Treat positive and negative contributions x_i w_ij apart: gamma, z+, alpha-beta.

Negative inputs are allowed: a contribution is positive if x and w have the same sign. In the
coefficient form a sum over positive contributions is w+^T c for inputs above zero and w-^T c for
those below.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from lrp_engine.method.call import Call, Coefficients, Form, Passed
from lrp_engine.method.op import WeightedSum
from lrp_engine.method.parameters import NotNegative
from lrp_engine.method.relevance import flow_sum, stabilise, sum_relevance
from lrp_engine.method.rule import rule
from lrp_engine.rules.epsilon import Bias
from lrp_engine.rules.weighted_sum_terms import (
    apply_transpose,
    bias_of,
    by_sign,
    has_one_sign,
    input_of,
    over,
    share_out,
    sum_weighted,
    weight_of,
    without_bias,
)


class Share(NamedTuple):
    """Relevance shared over one sum: q = R / whole (stabilised), of which the bias has q b."""

    q: Tensor
    whole: Tensor
    bias: Tensor | None


def halves(w: Tensor) -> tuple[Tensor, Tensor]:
    """Return w+ and w-."""
    return w.clamp(min=0), w.clamp(max=0)


def by_sign_of_input(call: Call[WeightedSum], above: Tensor, below: Tensor) -> Tensor:
    """Return sum_i x_i+ above_ij + x_i- below_ij."""
    x = input_of(call)
    if has_one_sign(call):
        return sum_weighted(call, x, above)
    x_up, x_down = halves(x)
    return sum_weighted(call, x_up, above) + sum_weighted(call, x_down, below)


def share_positive(call: Call[WeightedSum], c: Tensor, stabiliser: float, bias: Bias) -> Share:
    """Share over P_j = sum_i (x_i w_ij)+ + b_j+."""
    up, down = halves(weight_of(call))
    total = by_sign_of_input(call, up, down)
    b = bias_of(call) if bias is Bias.ABSORB else None
    whole = total if b is None else total + b.clamp(min=0)
    # A sum of positive parts is below zero by rounding only.
    q = over(call, c, whole.clamp(min=0) + stabiliser)
    return Share(q, whole, None if b is None else b.clamp(min=0))


def share_negative(call: Call[WeightedSum], c: Tensor, stabiliser: float, bias: Bias) -> Share:
    """Share over N_j = sum_i (x_i w_ij)- + b_j-."""
    up, down = halves(weight_of(call))
    total = by_sign_of_input(call, down, up)
    b = bias_of(call) if bias is Bias.ABSORB else None
    whole = total if b is None else total + b.clamp(max=0)
    q = over(call, c, whole.clamp(max=0) - stabiliser)
    return Share(q, whole, None if b is None else b.clamp(max=0))


def absorb_rest(
    call: Call[WeightedSum], c: Tensor, *shares: tuple[float, Share]
) -> dict[str, Tensor]:
    """Return the biases' parts of the sums, and as the stabilisers' what is missing from R."""
    used = [k * sum_relevance(s.q, s.whole) for k, s in shares]
    biases = [
        k * sum_relevance(s.q, s.bias.expand_as(s.q)) for k, s in shares if s.bias is not None
    ]
    found = {"stabiliser": flow_sum(call, c, call.out) - torch.stack(used).sum()}
    return found | ({"bias": torch.stack(biases).sum()} if biases else {})


def z_plus_absorbs(
    call: Call[WeightedSum], c: Tensor, passed: Passed, stabiliser: float, bias: Bias
) -> dict[str, Tensor]:
    """Return what z+ absorbs: b+ keeps its share of P."""
    return absorb_rest(call, c, (1.0, share_positive(call, c, stabiliser, bias)))


@rule(
    "z_plus",
    family=WeightedSum,
    cites="montavon2017, z+-rule",
    takes=Form.EITHER,
    absorbs=z_plus_absorbs,
)
def z_plus(
    call: Call[WeightedSum], c: Tensor, stabiliser: NotNegative = 1e-6, bias: Bias = Bias.ABSORB
) -> Coefficients:
    """Share over positive contributions: R_i = sum_j (x_i w_ij)+ R_j / P_j."""
    q = share_positive(call, c, stabiliser, bias).q
    up, down = halves(weight_of(call))
    return by_sign(call, apply_transpose(call, q, up), apply_transpose(call, q, down))


def alpha_beta_absorbs(
    call: Call[WeightedSum],
    c: Tensor,
    passed: Passed,
    alpha: float,
    beta: float,
    stabiliser: float,
    bias: Bias,
) -> dict[str, Tensor]:
    """Return what alpha-beta absorbs: b+ and b- keep their shares of P and N."""
    p, n = share_positive(call, c, stabiliser, bias), share_negative(call, c, stabiliser, bias)
    return absorb_rest(call, c, (alpha, p), (-beta, n))


@rule(
    "alpha_beta",
    family=WeightedSum,
    cites="bach2015, eq. 60",
    takes=Form.EITHER,
    absorbs=alpha_beta_absorbs,
)
def alpha_beta(
    call: Call[WeightedSum],
    c: Tensor,
    alpha: NotNegative = 2.0,
    beta: NotNegative = 1.0,
    stabiliser: NotNegative = 1e-6,
    bias: Bias = Bias.ABSORB,
) -> Coefficients:
    """Share by sign: R_i = sum_j (alpha (x_i w_ij)+ / P_j - beta (x_i w_ij)- / N_j) R_j."""
    if abs(alpha - beta - 1) > 1e-12 or alpha < 0 or beta < 0:
        raise ValueError(f"alpha - beta must be 1 with neither below 0, not {alpha} - {beta}")
    up, down = halves(weight_of(call))
    p = alpha * share_positive(call, c, stabiliser, bias).q
    n = -beta * share_negative(call, c, stabiliser, bias).q
    above = apply_transpose(call, p, up) + apply_transpose(call, n, down)
    return by_sign(call, above, apply_transpose(call, p, down) + apply_transpose(call, n, up))


def share_lifted(
    call: Call[WeightedSum], c: Tensor, gamma: float, stabiliser: float, bias: Bias
) -> Share:
    """Share over sum_i x_i (w_ij + gamma w_ij+) + b_j + gamma b_j+."""
    b = bias_of(call) if bias is Bias.ABSORB else None
    b = None if b is None else b + gamma * b.clamp(min=0)
    z = sum_weighted(call, input_of(call), lifted_weight(call, gamma))
    whole = z if b is None else z + b
    return Share(share_out(call, c, whole, stabiliser), whole, b)


def lifted_weight(call: Call[WeightedSum], gamma: float) -> Tensor:
    """Return w + gamma w+."""
    weight = weight_of(call)
    return weight + gamma * weight.clamp(min=0)


def gamma_absorbs(
    call: Call[WeightedSum],
    c: Tensor,
    passed: Passed,
    gamma: float,
    stabiliser: float,
    bias: Bias,
) -> dict[str, Tensor]:
    """Return what gamma absorbs: b + gamma b+ keeps its share."""
    return absorb_rest(call, c, (1.0, share_lifted(call, c, gamma, stabiliser, bias)))


@rule(
    "gamma",
    family=WeightedSum,
    cites="montavon2019, sec. 10.2.1",
    takes=Form.EITHER,
    absorbs=gamma_absorbs,
)
def gamma(
    call: Call[WeightedSum],
    c: Tensor,
    gamma: NotNegative = 0.25,
    stabiliser: NotNegative = 1e-6,
    bias: Bias = Bias.ABSORB,
) -> Coefficients:
    """Share by v_ij = w_ij + gamma w_ij+, for x >= 0: R_i = sum_j x_i v_ij R_j / sum_i x_i v_ij."""
    q = share_lifted(call, c, gamma, stabiliser, bias).q
    return call.only(apply_transpose(call, q, lifted_weight(call, gamma)))


def both_signs(
    call: Call[WeightedSum], c: Tensor, gamma: float, stabiliser: float, bias: Bias
) -> tuple[Share, Share]:
    """Share over z + gamma P where z > 0 and over z + gamma N where z < 0, with N = z - P."""
    b = bias_of(call)
    whole = call.out if b is None or bias is Bias.ABSORB else without_bias(call)
    p = share_positive(call, c, stabiliser, bias).whole
    flow = c if call.form is Form.RELEVANCE else c * call.out

    def share(part: Tensor, b_part: Tensor | None, elsewhere: Tensor) -> Share:
        z = whole + gamma * part
        kept = b if bias is Bias.ABSORB else None
        extra = None if kept is None or b_part is None else kept + gamma * b_part
        return Share((flow / stabilise(z, stabiliser)).masked_fill(elsewhere, 0.0), z, extra)

    up, down = (None, None) if b is None else halves(b)
    return share(p, up, call.out <= 0), share(whole - p, down, call.out >= 0)


def generalised_gamma_absorbs(
    call: Call[WeightedSum],
    c: Tensor,
    passed: Passed,
    gamma: float,
    stabiliser: float,
    bias: Bias,
) -> dict[str, Tensor]:
    """Return the lifted bias' share of either sum; at z = 0 nothing is passed on."""
    above, below = both_signs(call, c, gamma, stabiliser, bias)
    return absorb_rest(call, c, (1.0, above), (1.0, below))


@rule(
    "generalised_gamma",
    family=WeightedSum,
    cites="andeol2023",
    takes=Form.EITHER,
    absorbs=generalised_gamma_absorbs,
)
def generalised_gamma(
    call: Call[WeightedSum],
    c: Tensor,
    gamma: NotNegative = 0.25,
    stabiliser: NotNegative = 1e-6,
    bias: Bias = Bias.ABSORB,
) -> Coefficients:
    """Lift contributions of the sign of z_j by 1 + gamma.

    For z_j > 0, R_i = sum_j (x_i w_ij + gamma (x_i w_ij)+) R_j / (z_j + gamma P_j); for z_j < 0
    with - and N_j.
    """
    a, b = (s.q for s in both_signs(call, c, gamma, stabiliser, bias))
    extra = gamma * apply_transpose(call, a - b, weight_of(call).clamp(min=0))
    above, below = (
        apply_transpose(call, a + (1 + gamma) * b),
        apply_transpose(call, (1 + gamma) * a + b),
    )
    return by_sign(call, above + extra, below - extra)
