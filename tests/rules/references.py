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

from lrp_engine.call import Call, Operand, invoke, substitute

from . import reference_attention
from .cases import pairs

Relevance = dict[Operand, Tensor]
Reference = Callable[..., Relevance]

STEP = 2.0**-12


def jacobian(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """d function / d x as a dense matrix, by a fourth-order difference for each entry of x.

    Exact for linear functions, and for piecewise linear ones away from their kinks.
    """
    columns = []
    for i in range(x.numel()):
        shift = torch.zeros(x.numel(), dtype=x.dtype)
        shift[i] = STEP
        shift = shift.view(x.shape)
        near = function(x + shift) - function(x - shift)
        far = function(x + 2 * shift) - function(x - 2 * shift)
        columns.append((8 * near.double() - far.double()) / (12 * STEP))
    return torch.stack(columns, dim=-1)


def results(out: Any, c: Any) -> Tensor:
    """All results that relevance arrives at, as one long vector."""
    return torch.cat([o.reshape(-1) for o, _ in pairs(out, c)])


def incoming(call: Call, c: Any) -> Tensor:
    """R at the results, as one long vector."""
    return torch.cat([(o.double() * k.double()).reshape(-1) for o, k in pairs(call.out, c)])


def dense(call: Call, c: Any, operand: Operand) -> Tensor:
    """J[j, i]: how result entry j answers to entry i of an operand."""

    def function(x: Tensor) -> Tensor:
        return results(invoke(call.op.target, substitute(call.arguments, {operand: x})), c)

    return jacobian(function, call.operand(operand))


def ratio(relevance: Tensor, z: Tensor) -> Tensor:
    """R_j / z_j; an entry that is exactly zero carries nothing."""
    return torch.where(z == 0, 0.0, relevance / torch.where(z == 0, 1.0, z))


def shares(call: Call, c: Any, operand: Operand, z: Tensor) -> Tensor:
    """R_i = sum_j x_i J_ji R_j / z_j."""
    x = call.operand(operand).double()
    weights = dense(call, c, operand) * ratio(incoming(call, c), z.double())[:, None]
    return weights.sum(0).view(x.shape) * x


def zero(call: Call, c: Any) -> Relevance:
    """Bach et al. 2015, eq. 56: every summand x_i J_ji of z_j gets its share of R_j."""
    return {o: shares(call, c, o, results(call.out, c)) for o in call.live}


def epsilon(call: Call, c: Any, epsilon: float) -> Relevance:
    """Bach et al. 2015, eq. 58: the same with z_j + epsilon sign(z_j)."""
    z = results(call.out, c)
    return {o: shares(call, c, o, z + epsilon * torch.sign(z)) for o in call.live}


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
    (operand,) = call.live
    x = call.operand(operand)
    at_zero = invoke(call.op.target, substitute(call.arguments, {operand: torch.zeros_like(x)}))
    if bool((at_zero == 0).all()):
        return {operand: incoming(call, c).view(x.shape)}
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


REFERENCES: dict[tuple[str, str], Reference] = {
    ("move", "adjoint"): zero,
    ("linear", "adjoint"): zero,
    ("linear", "gradient"): zero,
    ("lookup", "adjoint"): zero,
    ("weighted_sum", "zero"): zero,
    ("weighted_sum", "epsilon"): epsilon,
    ("weighted_sum", "gradient"): zero,
    ("product", "uniform"): uniform,
    ("product", "gradient"): zero,
    ("quotient", "denominator_stopped"): numerator_takes_all,
    ("quotient", "gradient"): zero,
    ("selection", "winner"): zero,
    ("selection", "gradient"): zero,
    ("pointwise", "identity"): pointwise,
    ("pointwise", "taylor"): zero,
    ("pointwise", "gradient"): zero,
    ("homogeneous", "euler"): euler,
    ("homogeneous", "gradient"): zero,
    ("normaliser", "gradient"): zero,
    ("normalisation", "scale_stopped"): scale_stopped,
    ("normalisation", "gradient"): zero,
    ("softmax", "taylor"): softmax_taylor,
    ("softmax", "gradient"): zero,
    ("attention", "attnlrp"): reference_attention.attnlrp,
    ("attention", "softmax_stopped"): reference_attention.softmax_stopped,
    ("attention", "gradient"): zero,
}
