"""List weighted sums z = op(x, W) + b with constant weights, which the classical rules serve."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.fx.node import Target

from lrp_engine.graphs.aten import aten
from lrp_engine.method.call import Call
from lrp_engine.method.claims import always, multiplies_by_matrix
from lrp_engine.method.op import WeightedSum
from lrp_engine.method.samples import Sample, real, sample
from lrp_engine.rules.convolution import CONVOLUTIONS, TRANSPOSED

__all__ = ["CONVOLUTIONS", "MATRIX", "TRANSPOSED"]


def linear_adjoint(call: Call[WeightedSum], c: Tensor, weight: Tensor) -> Tensor:
    """Return c W, over any leading axes; a weight of one row gave a result without its axis."""
    return c.unsqueeze(-1) * weight if weight.dim() == 1 else torch.matmul(c, weight)


def matrix(
    target: Target, x: str, weight: str, *samples: Sample, bias: str | None = None, **facts: Any
) -> WeightedSum:
    """Return one table row: a matrix product in which only `x` carries relevance."""
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
        rowwise=always,
    ),
    matrix(
        aten.addmm.default, "mat1", "mat2", sample(real(4), real(2, 3), real(3, 4)), bias="self"
    ),
    matrix(
        aten.addmm.default, "mat2", "mat1", sample(real(4), real(2, 3), real(3, 4)), bias="self"
    ),
    matrix(aten.mm.default, "self", "mat2", sample(real(2, 3), real(3, 4))),
    matrix(aten.mm.default, "mat2", "self", sample(real(2, 3), real(3, 4))),
    matrix(
        aten.matmul.default,
        "self",
        "other",
        sample(real(2, 2, 3), real(3, 4)),
        rowwise=multiplies_by_matrix,
    ),
    matrix(aten.matmul.default, "other", "self", sample(real(2, 3), real(3, 4))),
    matrix(aten.bmm.default, "self", "mat2", sample(real(2, 2, 3), real(2, 3, 4))),
    matrix(aten.bmm.default, "mat2", "self", sample(real(2, 2, 3), real(2, 3, 4))),
    WeightedSum(
        target=aten.einsum.default,
        operands=("tensors",),
        input="tensors",
        weight="tensors",
        samples=(
            sample("bi,oi->bo", [real(2, 3), real(4, 3)]),
            sample("bhi,hio->bho", [real(2, 2, 3), real(2, 3, 4)]),
        ),
        when=lambda arguments, live: (
            len(arguments["tensors"]) == 2 and len(live & {"tensors[0]", "tensors[1]"}) == 1
        ),
    ),
)
