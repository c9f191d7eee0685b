"""Matrix products and convolutions."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ..affine import DOMAIN as AFFINE
from ..op_table import op
from ..unsupported import Refused
from ..values import Ints
from ..windows import Window, read_window


@op("MatMul")
def matmul(a: Tensor, b: Tensor) -> Tensor:
    """Multiply matrices."""
    return torch.matmul(a, b)


@op("Linear", domain=AFFINE)
def linear(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
    """Return x W + b, joined from two nodes; in no file."""
    if b.dim() > x.dim():  # then the bias adds axes
        return torch.matmul(x, w) + b
    return F.linear(x, w.t(), b.reshape(-1))


@op("Gemm")
def gemm(
    a: Tensor,
    b: Tensor,
    c: Tensor | None = None,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: int = 0,
    transB: int = 0,
    broadcast: int = 0,
) -> Tensor:
    """Return alpha A B + beta C, by torch's linear where that is the same."""
    a = a.t() if transA else a
    if alpha == beta == 1 and (c is None or c.dim() == 1):
        wide = None if c is None else c.expand(b.shape[0] if transB else b.shape[1])
        return F.linear(a, b if transB else b.t(), wide)
    z = torch.matmul(a, b.t() if transB else b)
    z = z if alpha == 1 else z * alpha
    return z if c is None else z + (c if beta == 1 else c * beta)


@op("Einsum", since=12)
def einsum(*xs: Tensor, equation: str) -> Tensor:
    """Sum products of entries as an equation says."""
    return torch.einsum(equation.replace(" ", ""), *xs)


_CONV: dict[int, Callable[..., Tensor]] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_CONV_TRANSPOSE: dict[int, Callable[..., Tensor]] = {
    1: F.conv_transpose1d,
    2: F.conv_transpose2d,
    3: F.conv_transpose3d,
}


@op("Conv")
def conv(
    x: Tensor,
    w: Tensor,
    b: Tensor | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Ints | None = None,
    group: int = 1,
    kernel_shape: Ints | None = None,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Tensor:
    """Convolve over up to three axes."""
    found = read_window(x, tuple(w.shape[2:]), auto_pad, dilations, pads, strides)
    if found.rank not in _CONV:
        raise Refused(f"convolution over {found.rank} axes is not supported")
    x, padding = found.pad_input(x)
    return _CONV[found.rank](x, w, b, found.strides, padding, found.dilations, group)


@op("ConvTranspose")
def conv_transpose(
    x: Tensor,
    w: Tensor,
    b: Tensor | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Ints | None = None,
    group: int = 1,
    kernel_shape: Ints | None = None,
    output_padding: Ints | None = None,
    output_shape: Ints | None = None,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Tensor:
    """Convolve transposed; padding cuts the result, afterwards if the ends are not alike."""
    kernel = tuple(w.shape[2:])
    found = read_window(x, kernel, "NOTSET", dilations, pads, strides)
    extra = output_padding or (0,) * found.rank
    full = [
        s * (n - 1) + e + (k - 1) * d + 1
        for n, s, e, k, d in zip(
            x.shape[2:], found.strides, extra, kernel, found.dilations, strict=True
        )
    ]
    cut = _cuts(found, full, auto_pad, output_shape, x)
    same = all(isinstance(a, int) and a == b for a, b in cut)
    padding = [a for a, _ in cut] if same else [0] * found.rank
    # torch wants the extra rows to be fewer than a step; they are zeros that the bias reaches.
    steps = zip(extra, found.strides, found.dilations, strict=True)
    inside = [min(e, max(s, d) - 1) for e, s, d in steps]
    if list(extra) != inside:
        raise Refused(f"output_padding {extra} is not smaller than the strides")
    z = _CONV_TRANSPOSE[found.rank](x, w, b, found.strides, padding, inside, group, found.dilations)
    return z if same else F.pad(z, [-n for pair in reversed(cut) for n in pair])


def _cuts(
    found: Window, full: list[int], auto_pad: str, output_shape: Ints | None, x: Tensor
) -> list[tuple[int, int]]:
    """Return how much of the full result is cut off at both ends of every axis."""
    if output_shape is None and auto_pad in ("NOTSET", "VALID"):
        return found.pads
    wanted = output_shape or [n * s for n, s in zip(x.shape[2:], found.strides, strict=True)]
    totals = [f - n for f, n in zip(full, wanted[-found.rank :], strict=True)]
    if auto_pad == "SAME_UPPER":
        return [(t // 2, t - t // 2) for t in totals]
    return [(t - t // 2, t // 2) for t in totals]


@op("Col2Im", since=18)
def col2im(
    x: Tensor,
    image_shape: Ints,
    block_shape: Ints,
    *,
    dilations: Ints | None = None,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Tensor:
    """Add every column's entries to the places that they were read from."""
    rank = len(block_shape)
    found = read_window(None, tuple(block_shape), "NOTSET", dilations, pads, strides)
    if rank == 2 and all(a == b for a, b in found.pads):
        padding = [a for a, _ in found.pads]
        return F.fold(x, image_shape, block_shape, found.dilations, tuple(padding), found.strides)
    return _col2im(x, tuple(image_shape), tuple(block_shape), found)


def _col2im(x: Tensor, image: Ints, block: Ints, found: Window) -> Tensor:
    """Add columns over any number of axes: one scatter to computed places."""
    places = torch.zeros(1, 1, dtype=torch.long)
    wide = [n + a + b for n, (a, b) in zip(image, found.pads, strict=True)]
    for n, k, d, s in zip(wide, block, found.dilations, found.strides, strict=True):
        steps = (n - (k - 1) * d - 1) // s + 1
        own = torch.arange(k).unsqueeze(1) * d + torch.arange(steps) * s
        places = places[:, None, :, None] * n + own[None, :, None, :]
        places = places.reshape(places.shape[0] * k, -1)
    n, size = x.shape[0], math.prod(wide)
    columns = x.reshape(n, -1, places.numel())
    zeros = torch.zeros(n, columns.shape[1], size, dtype=x.dtype, device=x.device)
    index = places.reshape(-1).to(x.device).expand(columns.shape)
    whole = torch.scatter_add(zeros, 2, index, columns).reshape(n, -1, *wide)
    return F.pad(whole, [-k for pair in reversed(found.pads) for k in pair])
