"""List convolutions, with their adjoints written as forward ops."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch.nn.functional as F
from torch import Tensor
from torch.fx.node import Target

from lrp_engine.graphs.aten import aten
from lrp_engine.method.call import Call
from lrp_engine.method.op import Product, WeightedSum
from lrp_engine.method.samples import Sample, real, sample

Adjoint = Callable[[Call[WeightedSum], Tensor, Tensor], Tensor]

_TRANSPOSE = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
_FORWARD = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


def _axes(value: int | Sequence[int], n: int) -> list[int]:
    items = [value] if isinstance(value, int) else list(value)
    return items * n if len(items) == 1 else items


def conv_adjoint(call: Call[WeightedSum], c: Tensor, weight: Tensor) -> Tensor:
    """Return the transposed convolution of c, padded to the input's shape."""
    n, x = weight.dim() - 2, call["input"]
    stride, padding, dilation = (_axes(call[k], n) for k in ("stride", "padding", "dilation"))
    missing = [
        x.shape[x.dim() - n + i]
        - ((c.shape[c.dim() - n + i] - 1) * stride[i] - 2 * padding[i])
        - dilation[i] * (weight.shape[2 + i] - 1)
        - 1
        for i in range(n)
    ]
    return _TRANSPOSE[n](c, weight, None, stride, padding, missing, call["groups"], dilation)


def conv_transpose_adjoint(call: Call[WeightedSum], c: Tensor, weight: Tensor) -> Tensor:
    """Return the convolution of c, without the entries that output padding added."""
    n = weight.dim() - 2
    stride, padding, dilation = (_axes(call[k], n) for k in ("stride", "padding", "dilation"))
    back = _FORWARD[n](c, weight, None, stride, padding, dilation, call["groups"])
    for i in range(n):
        axis = back.dim() - n + i
        back = back.narrow(axis, 0, call["input"].shape[axis])
    return back


def convolution(target: Target, adjoint: Adjoint | None, *samples: Sample) -> WeightedSum:
    """Return one table row."""
    return WeightedSum(
        target=target,
        operands=("input",),
        input="input",
        weight="weight",
        bias="bias",
        samples=samples,
        adjoint=adjoint,
        when=lambda _, live: live == {"input"},
    )


CONVOLUTIONS = (
    convolution(
        aten.conv1d.default,
        conv_adjoint,
        sample(real(2, 4, 9), real(6, 2, 3), real(6), [2], [1], [2], 2),
    ),
    convolution(
        aten.conv2d.default,
        conv_adjoint,
        sample(real(2, 3, 6, 6), real(4, 3, 3, 3), real(4), [2, 2], [1, 1]),
        sample(real(1, 2, 7, 6), real(4, 1, 3, 2), real(4), [3, 2], [0, 1], [1, 2], 2),
    ),
    convolution(
        aten.conv3d.default,
        conv_adjoint,
        sample(real(1, 2, 4, 4, 4), real(2, 2, 2, 2, 2), real(2), [2, 2, 2]),
    ),
    # String padding has no closed adjoint here: torch's own derivative serves.
    convolution(
        aten.conv1d.padding, None, sample(real(1, 2, 6), real(2, 2, 3), real(2), [1], "same")
    ),
    convolution(
        aten.conv2d.padding,
        None,
        sample(real(1, 2, 6, 6), real(2, 2, 3, 3), real(2), [1, 1], "same"),
    ),
    convolution(
        aten.convolution.default,
        None,
        sample(
            real(1, 2, 6, 6), real(2, 2, 3, 3), real(2), [1, 1], [1, 1], [1, 1], False, [0, 0], 1
        ),
    ),
)

TRANSPOSED = (
    convolution(
        aten.conv_transpose1d.default,
        conv_transpose_adjoint,
        sample(real(2, 4, 5), real(4, 3, 3), real(6), [2], [1], [1], 2),
    ),
    convolution(
        aten.conv_transpose2d.input,
        conv_transpose_adjoint,
        sample(real(1, 2, 4, 4), real(2, 3, 3, 3), real(3), [2, 2], [1, 1], [1, 1]),
        sample(real(1, 2, 4, 4), real(2, 3, 2, 2), real(3), [2, 2]),
    ),
    convolution(
        aten.conv_transpose3d.input,
        conv_transpose_adjoint,
        sample(real(1, 2, 3, 3, 3), real(2, 2, 2, 2, 2), real(2), [2, 2, 2]),
    ),
)

# A kernel that is computed from the input is a factor like any other.
DYNAMIC = tuple(
    Product(
        target=op.target,
        operands=("input", "weight", "bias"),
        factors=("input", "weight"),
        samples=op.samples,
    )
    for op in CONVOLUTIONS + TRANSPOSED
)
