"""Ops that cut regions out of images, as detectors do."""

from __future__ import annotations

import torch
from torch import Tensor

from ...kernels.deformable import deform_conv
from ...kernels.non_max_suppression import non_max_suppression
from ..op_table import op
from ..unsupported import Refused
from ..values import Ints
from ..windows import read_window


@op("RoiAlign", since=10)
def roi_align_10(
    x: Tensor,
    rois: Tensor,
    batch_indices: Tensor,
    *,
    mode: str = "avg",
    output_height: int = 1,
    output_width: int = 1,
    sampling_ratio: int = 0,
    spatial_scale: float = 1.0,
) -> Tensor:
    """Read regions whose corners are the middles of pixels."""
    _refuse(mode, sampling_ratio)
    left, top, right, bottom = (rois * spatial_scale).unbind(1)
    height, width = (bottom - top).clamp(min=1.0), (right - left).clamp(min=1.0)
    rows = _weights(top, height, output_height, sampling_ratio, x.shape[2])
    columns = _weights(left, width, output_width, sampling_ratio, x.shape[3])
    return _read(x[batch_indices], rows, columns)


@op("RoiAlign", since=16)
def roi_align(
    x: Tensor,
    rois: Tensor,
    batch_indices: Tensor,
    *,
    coordinate_transformation_mode: str = "half_pixel",
    mode: str = "avg",
    output_height: int = 1,
    output_width: int = 1,
    sampling_ratio: int = 0,
    spatial_scale: float = 1.0,
) -> Tensor:
    """Read regions whose corners are corners of pixels, unless told otherwise."""
    _refuse(mode, sampling_ratio)
    half = coordinate_transformation_mode == "half_pixel"
    left, top, right, bottom = (rois * spatial_scale - 0.5 * half).unbind(1)
    height, width = bottom - top, right - left
    if not half:
        height, width = height.clamp(min=1.0), width.clamp(min=1.0)
    rows = _weights(top, height, output_height, sampling_ratio, x.shape[2])
    columns = _weights(left, width, output_width, sampling_ratio, x.shape[3])
    return _read(x[batch_indices], rows, columns)


def _refuse(mode: str, sampling_ratio: int) -> None:
    if mode != "avg":
        raise Refused(f"mode {mode!r}: which of several readings wins differs between runtimes")
    if sampling_ratio <= 0:
        raise Refused("sampling_ratio 0: how many places are read depends on the regions' sizes")


def _read(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Sum with weights along rows and columns: linear in the images."""
    return rows.unsqueeze(1) @ images @ columns.unsqueeze(1).transpose(2, 3)


def _weights(start: Tensor, length: Tensor, cells: int, samples: int, size: int) -> Tensor:
    """Return the weight of each entry of an axis in each cell: (region, cell, entry)."""
    steps = torch.arange(cells * samples, dtype=start.dtype, device=start.device) + 0.5
    places = start[:, None] + steps * (length[:, None] / (cells * samples))
    inside = (places >= -1) & (places <= size)
    entries = torch.arange(size, dtype=start.dtype, device=start.device)
    distance = (places.clamp(0, size - 1)[..., None] - entries).abs()
    weights = (1 - distance).clamp(min=0) * inside[..., None].to(start.dtype)
    return torch.unflatten(weights, 1, (cells, samples)).mean(2)


@op("NonMaxSuppression", since=10)
def keep_boxes(
    boxes: Tensor,
    scores: Tensor,
    count: int = 0,
    overlap: float = 0.0,
    least: float | None = None,
    *,
    center_point_box: int = 0,
) -> Tensor:
    """Return (image, class, box) of the best boxes that overlap no better one too much."""
    if center_point_box:
        middle, sides = boxes[..., :2], boxes[..., 2:]
        boxes = torch.cat([middle - sides / 2, middle + sides / 2], -1)
    kept: Tensor = non_max_suppression(boxes, scores, count, overlap, least)
    return kept


@op("DeformConv", since=19)
def deformable_convolution(
    x: Tensor,
    w: Tensor,
    offset: Tensor,
    b: Tensor | None = None,
    mask: Tensor | None = None,
    *,
    dilations: Ints | None = None,
    group: int = 1,
    kernel_shape: Ints | None = None,
    offset_group: int = 1,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Tensor:
    """Convolve images, read at places that are moved from the kernel's own."""
    found = read_window(x, tuple(w.shape[2:]), "NOTSET", dilations, pads, strides)
    if found.rank != 2:
        raise Refused(f"deformable convolution over {found.rank} axes is not supported")
    before = [pad for pad, _ in found.pads]
    return deform_conv(
        x, w, offset, mask, b, found.strides, before, found.dilations, group, offset_group
    )
