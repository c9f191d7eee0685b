"""Write a deformable convolution (arXiv:1811.11168) in ops that have rules.

Where a kernel reads an image is computed from the image. Reading between pixels is a sum of
products, so the places have relevance as in `grid_sample` with a live grid.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def deform_conv(
    x: Tensor,
    weight: Tensor,
    offset: Tensor,
    mask: Tensor | None,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int = 1,
    offset_groups: int = 1,
) -> Tensor:
    """Convolve x, read at places that are moved from the kernel's own.

    Args:
        x: Images (batch, channels, height, width).
        weight: Kernels (out, channels / groups, kernel height, kernel width).
        offset: How far each place is moved, first along the height, then along the width
            (batch, offset groups * kernel height * kernel width * 2, out height, out width).
        mask: Factors of what is read, laid out as `offset` without its pairs; None for ones.
        bias: (out,).
        stride: Of height and width, as are padding before and dilation.
        padding: Zeros before the image.
        dilation: Steps between a kernel's entries.
        groups: Of channels that share no kernel.
        offset_groups: Of channels that are read at the same places.

    Returns:
        (batch, out, out height, out width)
    """
    batch, channels, height, width = x.shape
    high, wide = weight.shape[2:]
    rows, columns = offset.shape[2:]
    moved = offset.reshape(batch * offset_groups, high * wide, 2, rows, columns)
    top = _places(high, rows, 0, stride, padding, dilation, offset)[:, None, :, None]
    left = _places(wide, columns, 1, stride, padding, dilation, offset)[None, :, None, :]
    top = top.expand(high, wide, rows, columns).reshape(high * wide, rows, columns)
    left = left.expand(high, wide, rows, columns).reshape(high * wide, rows, columns)
    at = [_fraction(left + moved[:, :, 1], width), _fraction(top + moved[:, :, 0], height)]
    grid = torch.stack(at, -1).flatten(1, 2)
    images = x.reshape(batch * offset_groups, channels // offset_groups, height, width)
    read = F.grid_sample(images, grid, align_corners=False)
    read = read.reshape(batch, offset_groups, -1, high * wide, rows, columns)
    if mask is not None:
        read = read * mask.reshape(batch, offset_groups, 1, high * wide, rows, columns)
    read = read.reshape(batch, channels * high * wide, rows, columns)
    return F.conv2d(read, weight.flatten(1)[..., None, None], bias, groups=groups)


def _places(
    size: int,
    count: int,
    axis: int,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    like: Tensor,
) -> Tensor:
    """Return the pixel that each entry of a kernel reads for each result (size, count)."""
    entries = torch.arange(size, dtype=like.dtype, device=like.device) * dilation[axis]
    starts = torch.arange(count, dtype=like.dtype, device=like.device) * stride[axis]
    return entries[:, None] + starts[None] - padding[axis]


def _fraction(pixels: Tensor, size: int) -> Tensor:
    """Return places in an image from -1 to 1, from edge to edge."""
    return (2 * pixels + 1) / size - 1


def deform_conv_of_torchvision(
    x: Tensor,
    weight: Tensor,
    offset: Tensor,
    mask: Tensor,
    bias: Tensor,
    *numbers: int,
) -> Tensor:
    """Do as `torchvision::deform_conv2d`: numbers are pairs, group counts, whether masks count."""
    stride, padding, dilation = numbers[0:2], numbers[2:4], numbers[4:6]
    groups, offset_groups, masked = numbers[6:9]
    factors = mask if masked else None
    return deform_conv(
        x, weight, offset, factors, bias, stride, padding, dilation, groups, offset_groups
    )
