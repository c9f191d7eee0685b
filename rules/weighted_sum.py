"""Weighted sums z = op(x, W) + b with constant weights, and the classical rules for them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lrp_engine.call import Call
from lrp_engine.op import Coefficients, Passed, WeightedSum
from lrp_engine.rule import booked, rule, stabilise
from lrp_engine.samples import Sample, real, sample

from .convolution import CONVOLUTIONS, TRANSPOSED

aten = torch.ops.aten

__all__ = ["CONVOLUTIONS", "MATRIX", "TRANSPOSED"]


def linear_adjoint(call: Call[WeightedSum], c: Tensor, weight: Tensor) -> Tensor:
    """c W, over any leading axes; a weight that is one row gives a result without its axis."""
    return c.unsqueeze(-1) * weight if weight.dim() == 1 else torch.matmul(c, weight)


def matrix(
    target: Any, x: str, weight: str, *samples: Sample, bias: str | None = None, **facts: Any
) -> WeightedSum:
    """One table row: a matrix product in which only `x` carries relevance."""
    return WeightedSum(
        target=target,
        operands=(x,),
        input=x,
        weight=weight,
        bias=bias,
        samples=samples,
        when=lambda _, live: live == {x},
        **facts,
    )


_LINEAR = (
    sample(real(2, 3), real(4, 3), real(4)),
    sample(real(2, 5, 3), real(4, 3)),
    sample(real(2, 3), real(3)),
)

MATRIX = (
    matrix(
        aten.linear.default,
        "input",
        "weight",
        *_LINEAR,
        bias="bias",
        adjoint=linear_adjoint,
        rowwise=True,
    ),
    matrix(
        aten.addmm.default, "mat1", "mat2", sample(real(4), real(2, 3), real(3, 4)), bias="self"
    ),
    matrix(
        aten.addmm.default, "mat2", "mat1", sample(real(4), real(2, 3), real(3, 4)), bias="self"
    ),
    matrix(aten.mm.default, "self", "mat2", sample(real(2, 3), real(3, 4))),
    matrix(aten.mm.default, "mat2", "self", sample(real(2, 3), real(3, 4))),
    matrix(aten.matmul.default, "self", "other", sample(real(2, 2, 3), real(3, 4))),
    matrix(aten.matmul.default, "other", "self", sample(real(2, 3), real(3, 4))),
    matrix(aten.bmm.default, "self", "mat2", sample(real(2, 2, 3), real(2, 3, 4))),
    matrix(aten.bmm.default, "mat2", "self", sample(real(2, 2, 3), real(2, 3, 4))),
)


def transposed(call: Call[WeightedSum], c: Tensor) -> Coefficients:
    """W^T c by the op's own adjoint if it has one, by torch's derivative otherwise."""
    own = call.op.adjoint
    return call.vjp(c) if own is None else call.only(own(call, c, call[call.op.weight]))


def bias_share(call: Call[WeightedSum], c: Tensor) -> dict[str, Tensor]:
    """Sum of c * b: what the bias contributed."""
    bias = call[call.op.bias] if call.op.bias else None
    if bias is None:
        return {}
    channels_first = call.op in CONVOLUTIONS + TRANSPOSED and bias.dim() == 1
    shape = (-1,) + (1,) * (call[call.op.weight].dim() - 2) if channels_first else bias.shape
    scale = call.arguments.get("beta", 1)
    return {"bias": scale * booked(c, bias.view(shape).expand_as(c))}


def zero_absorbs(call: Call[WeightedSum], c: Tensor, passed: Passed) -> dict[str, Tensor]:
    """LRP-0 loses the bias' share and nothing else."""
    return bias_share(call, c)


@rule("zero", family=WeightedSum, cites="bach2015, eq. 56", absorbs=zero_absorbs)
def zero(call: Call[WeightedSum], c: Tensor) -> Coefficients:
    """LRP-0: R_i = sum_j x_i w_ij R_j / z_j, that is c_in = W^T c. Nothing is divided."""
    return transposed(call, c)


def stabilised(z: Tensor, c: Tensor, epsilon: float) -> Tensor:
    """c * z / (z + epsilon sign z)."""
    return c * (z / stabilise(z, epsilon))


def epsilon_absorbs(
    call: Call[WeightedSum], c: Tensor, passed: Passed, epsilon: float
) -> dict[str, Tensor]:
    """The stabiliser takes (c - c') z, the bias its share of what is left."""
    kept = stabilised(call.out, c, epsilon)
    return {"stabiliser": booked(c - kept, call.out)} | bias_share(call, kept)


@rule("epsilon", family=WeightedSum, cites="bach2015, eq. 58", absorbs=epsilon_absorbs)
def epsilon(call: Call[WeightedSum], c: Tensor, epsilon: float = 1e-6) -> Coefficients:
    """R_i = sum_j x_i w_ij R_j / (z_j + epsilon sign z_j), with z including the bias."""
    return transposed(call, stabilised(call.out, c, epsilon))


@rule("gradient", family=WeightedSum, cites="simonyan2014", absorbs=zero_absorbs)
def gradient(call: Call[WeightedSum], c: Tensor) -> Coefficients:
    """The plain gradient: W^T c, the same as LRP-0 in coefficient form."""
    return transposed(call, c)
