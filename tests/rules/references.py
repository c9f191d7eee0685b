"""Slow definitions, one per (family, rule), written from the papers and not from the code.

Each takes a call as data (arguments, live operands, result), the coefficient c = R/out that
arrives at its results, and gives the relevance of each live operand. Derivatives are finite
differences of the op itself, entry by entry: nothing here uses autograd or an op's adjoint.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lrp_engine.graphs.schema import (
    Operand,
    invoke,
    operands_of,
    substitute,
)
from lrp_engine.method.call import Call

from . import reference_attention, reference_pooling, reference_recurrence, reference_sums
from .measuring import Relevance, dense, incoming, jacobian, ratio, results

Reference = Callable[..., Relevance]


def shares(call: Call, c: Any, operand: Operand, z: Tensor) -> Tensor:
    """R_i = sum_j x_i J_ji R_j / z_j."""
    x = call.operand(operand).double()
    weights = dense(call, c, operand) * ratio(incoming(call, c), z.double())[:, None]
    return weights.sum(0).view(x.shape) * x


def zero(call: Call, c: Any) -> Relevance:
    """Bach et al. 2015, eq. 56: every summand x_i J_ji of z_j gets its share of R_j."""
    return {o: shares(call, c, o, results(call.out, c)) for o in call.live}


def norm(call: Call, c: Any, stabiliser: float) -> Relevance:
    """Bach et al. 2015, eq. 58, for a sum: z_j + epsilon sign(z_j)."""
    z = results(call.out, c)
    return {o: shares(call, c, o, z + stabiliser * torch.sign(z)) for o in call.live}


def identity(call: Call, c: Any) -> Relevance:
    """R_in = R_out, entry by entry, summed where the op repeats entries."""
    (operand,) = call.live
    return {operand: _summed(incoming(call, c), call, call.operand(operand))}


def _summed(r: Tensor, call: Call, x: Tensor) -> Tensor:
    return (
        r.view(x.shape) if r.numel() == x.numel() else r.view(call.out.shape).sum_to_size(x.shape)
    )


def evenly(call: Call, c: Any) -> Relevance:
    """Each live summand gets R / n, whatever its value; a constant gets nothing."""
    each = incoming(call, c) / len(call.live)
    return {o: _summed(each, call, call.operand(o)) for o in call.live}


def magnitude(call: Call, c: Any, stabiliser: float) -> Relevance:
    """Each summand of an elementwise sum gets |its part| / (sum of all |parts|) of R."""
    names = operands_of(call.op.operands, call.arguments)
    if not call.op.elementwise or len(names) < 2:
        return zero(call, c)
    zeros = {o: torch.zeros_like(call.operand(o)) for o in names}
    parts = {
        o: invoke(call.op.target, substitute(call.arguments, zeros | {o: call.operand(o)}))
        for o in names
    }
    total = sum(part.abs() for part in parts.values()) + stabiliser
    arrived = incoming(call, c).view(call.out.shape)
    return {
        o: (arrived * parts[o].abs() / total).sum_to_size(call.operand(o).shape) for o in call.live
    }


def proportional(call: Call, c: Any, stabiliser: float) -> Relevance:
    """Arras et al. 2019: the factors of a b get |a| and |b| over |a| + |b|."""
    if len(call.live) == 1:
        return zero(call, c)
    arrived = incoming(call, c).view(call.out.shape)
    sizes = {o: call.operand(o).abs() for o in call.live}
    total = sum(sizes.values()) + stabiliser
    return {
        o: (arrived * size / total).sum_to_size(call.operand(o).shape) for o, size in sizes.items()
    }


def guided(call: Call, c: Any) -> Relevance:
    """x times the gradient, which passes only where it is positive."""
    return zero(call, c.clamp(min=0))


def deconvnet(call: Call, c: Any) -> Relevance:
    """x times the gradient above, where that is positive; the rectifier does not count."""
    (operand,) = call.live
    return {operand: call.operand(operand) * torch.where(c > 0, c, 0.0)}


def smooth(call: Call, c: Any, beta: float) -> Relevance:
    """x c / (1 + exp(-beta x))."""
    (operand,) = call.live
    x = call.operand(operand)
    return {operand: x * c / (1 + torch.exp(-beta * x))}


def uniform(call: Call, c: Any) -> Relevance:
    """Achtibat et al. 2024, prop. 3.3: n live factors get R/n each; a summand what it brings."""
    factors = [o for o in call.live if o.name in call.op.factors]
    whole = zero(call, c)
    return {o: r / len(factors) if o in factors else r for o, r in whole.items()}


def numerator_takes_all(call: Call, c: Any) -> Relevance:
    """Achtibat et al. 2024, prop. 3.4: R passes to the numerator, entry by entry."""
    (operand,) = call.live
    assert operand.name == call.op.numerator
    return {operand: incoming(call, c).view(call.out.shape).sum_to_size(call["self"].shape)}


def pointwise(call: Call, c: Any) -> Relevance:
    """R_in = R_out if f(0) = 0, by what f really gives at 0; else x f'(x) R_out / f(x)."""
    if len(call.live) > 1:
        return zero(call, c)
    (operand,) = call.live
    x = call.operand(operand)
    at_zero = invoke(call.op.target, substitute(call.arguments, {operand: torch.zeros_like(x)}))
    if bool((at_zero == 0).all()):
        return {operand: _summed(incoming(call, c), call, x)}
    return zero(call, c)


def euler(call: Call, c: Any) -> Relevance:
    """x_i J_ji R_j / (k f_j), the degree k measured on the op itself: f(2x) = 2^k f(x)."""
    doubled = substitute(call.arguments, {o: 2 * call.operand(o) for o in call.live})
    z = results(call.out, c)
    degree = torch.log2(results(invoke(call.op.target, doubled), c) / z)
    return {o: shares(call, c, o, degree * z) for o in call.live}


def softmax_taylor(call: Call, c: Any) -> Relevance:
    """Achtibat et al. 2024, prop. 3.1: R_i = x_i (R_i - s_i sum_j R_j), row by row.

    The same first Taylor term is x_i (c_i - s_i sum_j c_j) for the logarithm of a softmax, and
    x_i s_i c for the logarithm of its denominator.
    """
    (operand,) = call.live
    x = call.operand(operand)
    s = torch.exp(x) / torch.exp(x).sum(call["dim"], keepdim=True)
    if "logsumexp" in str(call.op.target):
        back = s * c.reshape(s.sum(call["dim"], keepdim=True).shape)
    elif "log" in str(call.op.target):
        back = c - s * c.sum(call["dim"], keepdim=True)
    else:
        arrived = c * call.out
        back = arrived - s * arrived.sum(call["dim"], keepdim=True)
    return {operand: x * back}


def scale_stopped(call: Call, c: Any) -> Relevance:
    """Achtibat et al. 2024, prop. 3.4: the standard deviation is measured once and is a number."""
    (operand,) = call.live
    x, centring = call.operand(operand), "rms" not in str(call.op.target)
    group = _groups(call, x)
    scale = torch.empty_like(x)
    for g in group.unique():
        values = x[group == g].tolist()
        centre = sum(values) / len(values) if centring else 0.0
        spread = sum((v - centre) ** 2 for v in values) / len(values)
        scale[group == g] = 1 / math.sqrt(spread + _epsilon(call, x))

    def frozen(values: Tensor) -> Tensor:
        centred = values.clone()
        for g in group.unique() if centring else ():
            centred[group == g] -= values[group == g].mean()
        return _affine(call, centred * scale).reshape(-1)

    z = results(call.out, c)
    torch.testing.assert_close(frozen(x), z, rtol=0, atol=1e-12)
    weights = jacobian(frozen, x) * ratio(incoming(call, c), z)[:, None]
    return {operand: weights.sum(0).view(x.shape) * x}


def _groups(call: Call, x: Tensor) -> Tensor:
    """For each entry of x the number of the group that it is normalised with."""
    if "normalized_shape" in call.arguments:
        count = x.numel() // math.prod(call["normalized_shape"])
    elif "num_groups" in call.arguments or "group" in call.arguments:
        count = x.shape[0] * call["num_groups" if "num_groups" in call.arguments else "group"]
    else:  # by channel
        channels = torch.arange(x.shape[1]).view((1, -1) + (1,) * (x.dim() - 2))
        return channels.expand(x.shape)
    return torch.arange(count).repeat_interleave(x.numel() // count).view(x.shape)


def _epsilon(call: Call, x: Tensor) -> float:
    given = call["eps"]
    wide = torch.promote_types(x.dtype, torch.float32)
    return torch.finfo(wide).eps if given is None else given


def _affine(call: Call, y: Tensor) -> Tensor:
    weight, bias = call["weight"], call.arguments.get("bias")
    if "normalized_shape" not in call.arguments:
        channels = (1, -1) + (1,) * (y.dim() - 2)
        weight, bias = (None if p is None else p.view(channels) for p in (weight, bias))
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def rounded_codes(call: Call, c: Any, beyond: float) -> Relevance:
    """c x for every entry whose unrounded code ends at most `beyond` outside the allowed codes."""
    given, x = call.arguments, call.arguments["self"].double()
    allowed = torch.ones_like(x, dtype=torch.bool)
    if "quant_min" in given:
        scale = torch.as_tensor(given["scale"]).double()  # per channel: here, the last axis
        codes = x / scale + given["zero_point"]
        allowed = (codes >= given["quant_min"] - beyond) & (codes <= given["quant_max"] + beyond)
    return {o: torch.where(allowed, x * c.double(), 0.0) for o in call.live}


def straight_through(call: Call, c: Any) -> Relevance:
    """Rounding passes c; what was cut off by more than a code passes nothing."""
    return rounded_codes(call, c, 1.0)


def within_codes(call: Call, c: Any) -> Relevance:
    """Torch differentiates what rounds to an allowed code as the identity."""
    return rounded_codes(call, c, 0.5)


REFERENCES: dict[tuple[str, str], Reference] = {
    ("move", "adjoint"): zero,
    ("linear", "adjoint"): zero,
    ("linear", "gradient"): zero,
    ("linear", "norm"): norm,
    ("linear", "pass"): identity,
    ("linear", "flat"): evenly,
    ("linear", "magnitude"): magnitude,
    ("lookup", "adjoint"): zero,
    ("weighted_sum", "zero"): zero,
    ("weighted_sum", "epsilon"): reference_sums.epsilon,
    ("weighted_sum", "z_plus"): reference_sums.z_plus,
    ("weighted_sum", "alpha_beta"): reference_sums.alpha_beta,
    ("weighted_sum", "gamma"): reference_sums.gamma,
    ("weighted_sum", "generalised_gamma"): reference_sums.generalised_gamma,
    ("weighted_sum", "z_box"): reference_sums.z_box,
    ("weighted_sum", "w_square"): reference_sums.w_square,
    ("weighted_sum", "flat"): reference_sums.flat,
    ("weighted_sum", "filtered"): reference_sums.filtered,
    ("weighted_sum", "gradient"): zero,
    ("product", "uniform"): uniform,
    ("product", "proportional"): proportional,
    ("product", "gradient"): zero,
    ("quotient", "denominator_stopped"): numerator_takes_all,
    ("quotient", "gradient"): zero,
    ("selection", "winner"): zero,
    ("selection", "pass"): identity,
    ("selection", "guided"): guided,
    ("selection", "deconvnet"): deconvnet,
    ("selection", "smooth"): smooth,
    ("selection", "proportional"): reference_pooling.proportional,
    ("selection", "takes_most"): reference_pooling.takes_most,
    ("selection", "gradient"): zero,
    ("pointwise", "identity"): pointwise,
    ("pointwise", "pass"): identity,
    ("pointwise", "taylor"): zero,
    ("pointwise", "gradient"): zero,
    ("homogeneous", "euler"): euler,
    ("homogeneous", "gradient"): zero,
    ("normaliser", "gradient"): zero,
    ("normalisation", "scale_stopped"): scale_stopped,
    ("normalisation", "pass"): identity,
    ("normalisation", "gradient"): zero,
    ("softmax", "taylor"): softmax_taylor,
    ("softmax", "gradient"): zero,
    ("attention", "attnlrp"): reference_attention.attnlrp,
    ("attention", "softmax_stopped"): reference_attention.softmax_stopped,
    ("attention", "gradient"): zero,
    ("rounding", "identity"): straight_through,
    ("rounding", "pass"): identity,
    ("rounding", "gradient"): within_codes,
    ("recurrence", "uniform"): reference_recurrence.uniform,
    ("recurrence", "gradient"): reference_recurrence.gradient,
    ("recurrence", "norm"): reference_recurrence.norm,
    ("recurrence", "magnitude"): reference_recurrence.magnitude,
}
