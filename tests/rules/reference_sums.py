"""Slow definitions of the rules for weighted sums: loops over dense matrices of contributions.

For z_j = sum_i x_i w_ij + b_j the weights w are what the op gives for unit inputs, b what it
gives for none. Every rule is then a statement about one row j of contributions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from lrp_engine.graphs.schema import Operand, invoke, substitute
from lrp_engine.method.call import Call
from lrp_engine.rules.epsilon import Bias
from lrp_engine.rules.relevance_filter import Rank

from .measuring import Relevance, incoming, results


class Row(NamedTuple):
    """One result: its inputs, their weights, the bias, the sum."""

    x: Tensor
    w: Tensor
    b: float
    z: float

    @property
    def parts(self) -> Tensor:
        """x_i w_ij."""
        return self.x * self.w


def stable(z: float, epsilon: float) -> float:
    """z + epsilon sign(z), with sign(0) = 1."""
    return z - epsilon if z < 0 else z + epsilon


def by_rows(call: Call, c: Tensor, share: Callable[[Row], Tensor]) -> Relevance:
    """R_i = sum_j share_ij R_j."""
    (operand,) = call.live
    x = call.operand(operand).double()
    weights, biases = measured(call, operand)
    total = torch.zeros(x.numel(), dtype=torch.float64)
    for w, b, z, r in zip(weights, biases, results(call.out, c), incoming(call, c), strict=True):
        total += share(Row(x.reshape(-1), w, float(b), float(z))) * r
    return {operand: total.view(x.shape)}


def measured(call: Call, operand: Operand) -> tuple[Tensor, Tensor]:
    """w[j, i] and b[j]: what the op gives for unit inputs, and for none."""
    x = call.operand(operand)

    def run(entries: Tensor) -> Tensor:
        changed = substitute(call.arguments, {operand: entries.view(x.shape).to(x.dtype)})
        return invoke(call.op.target, changed).double().reshape(-1)

    b = run(torch.zeros(x.numel()))
    return torch.stack([run(unit) - b for unit in torch.eye(x.numel())], dim=-1), b


def filtered(call: Call, c: Tensor, keep: float, rank: Rank, epsilon: float) -> Relevance:
    """The epsilon rule, after all but the largest relevances of each sample were set to zero."""
    kept = torch.zeros_like(c)
    samples = range(c.shape[0]) if c.dim() > 1 else [slice(None)]
    for sample in samples:
        r = (c[sample] * call.out[sample]).reshape(-1).tolist()
        size = r if rank is Rank.VALUE else [abs(v) for v in r]
        count = max(1, len(r) * round(keep * 1000) // 1000)
        floor = sorted(size, reverse=True)[count - 1]
        mask = torch.tensor([s >= floor for s in size]).view(c[sample].shape)
        kept[sample] = torch.where(mask, c[sample], 0.0)
    return stabilised(call, kept, epsilon, Bias.ABSORB)


def epsilon(call: Call, c: Tensor, epsilon: float, bias: Bias) -> Relevance:
    """Bach et al. 2015, eq. 58."""
    return stabilised(call, c, epsilon, bias)


def stabilised(call: Call, c: Tensor, e: float, bias: Bias) -> Relevance:
    """R_i = sum_j x_i w_ij R_j / (z_j + e sign z_j)."""

    def share(row: Row) -> Tensor:
        if bias is Bias.ABSORB:
            return row.parts / stable(row.z, e)
        own = float(row.parts.sum())
        kept = 1.0 if bias is Bias.DISTRIBUTE else abs(own) / (abs(own) + abs(row.b))
        return kept * row.parts / stable(own, e)

    return by_rows(call, c, share)


def z_plus(call: Call, c: Tensor, stabiliser: float, bias: Bias) -> Relevance:
    """Montavon et al. 2017: in proportion to the positive contributions."""
    return alpha_beta(call, c, 1.0, 0.0, stabiliser, bias)


def alpha_beta(
    call: Call, c: Tensor, alpha: float, beta: float, stabiliser: float, bias: Bias
) -> Relevance:
    """Bach et al. 2015, eq. 60: positive contributions weighted alpha, negative -beta."""

    def share(row: Row) -> Tensor:
        b = row.b if bias is Bias.ABSORB else 0.0
        up = torch.where(row.parts > 0, row.parts, 0.0)
        down = torch.where(row.parts < 0, row.parts, 0.0)
        p, n = float(up.sum()) + max(b, 0.0), float(down.sum()) + min(b, 0.0)
        return alpha * up / stable(p, stabiliser) - beta * down / stable(n, stabiliser)

    return by_rows(call, c, share)


def gamma(call: Call, c: Tensor, gamma: float, stabiliser: float, bias: Bias) -> Relevance:
    """Montavon et al. 2019: positive weights count 1 + gamma times."""

    def share(row: Row) -> Tensor:
        lifted = row.x * torch.where(row.w > 0, (1 + gamma) * row.w, row.w)
        b = row.b if bias is Bias.ABSORB else 0.0
        return lifted / stable(float(lifted.sum()) + b + gamma * max(b, 0.0), stabiliser)

    return by_rows(call, c, share)


def generalised_gamma(
    call: Call, c: Tensor, gamma: float, stabiliser: float, bias: Bias
) -> Relevance:
    """Contributions (and the bias) of the sign of z_j count 1 + gamma times."""

    def share(row: Row) -> Tensor:
        sign = (row.z > 0) - (row.z < 0)
        lifted = torch.where(row.parts * sign > 0, (1 + gamma) * row.parts, row.parts)
        b = row.b if bias is Bias.ABSORB else 0.0
        b = (1 + gamma) * b if b * sign > 0 else b
        return abs(sign) * lifted / stable(float(lifted.sum()) + b, stabiliser)

    return by_rows(call, c, share)


def z_box(call: Call, c: Tensor, low: float, high: float, stabiliser: float) -> Relevance:
    """Montavon et al. 2017: contributions above those of the lowest that the box allows."""

    def share(row: Row) -> Tensor:
        above = row.parts - torch.where(row.w > 0, low * row.w, high * row.w)
        return above / stable(float(above.sum()), stabiliser)

    return by_rows(call, c, share)


def w_square(call: Call, c: Tensor, stabiliser: float, bias: Bias) -> Relevance:
    """Montavon et al. 2017: in proportion to the squared weights."""

    def share(row: Row) -> Tensor:
        own = row.b**2 if bias is Bias.ABSORB else 0.0
        return row.w**2 / stable(float((row.w**2).sum()) + own, stabiliser)

    return by_rows(call, c, share)


def flat(call: Call, c: Tensor, stabiliser: float) -> Relevance:
    """Lapuschkin et al. 2019: every connected input gets the same."""

    def share(row: Row) -> Tensor:
        connected = (row.w != 0).double()
        return connected / (float(connected.sum()) + stabiliser)

    return by_rows(call, c, share)
