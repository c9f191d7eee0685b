"""Pooling: the largest, the mean or a norm of the entries in a window."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor

from ..limits import check_iterations
from ..op_table import NodeContext, op
from ..values import Ints
from ..windows import Window, read_window

_MAX: dict[int, Callable[..., Tensor]] = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
_AVERAGE: dict[int, Callable[..., Tensor]] = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


@op("MaxPool")
def max_pool(
    x: Tensor,
    *,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    dilations: Ints | None = None,
    kernel_shape: Ints,
    pads: Ints | None = None,
    storage_order: int = 0,
    strides: Ints | None = None,
    node: NodeContext,
) -> Tensor | list[Tensor]:
    """Return the largest entry of every window, and its place if wanted."""
    found = read_window(x, kernel_shape, auto_pad, dilations, pads, strides)
    dtype = x.dtype
    x = x if x.is_floating_point() else x.to(torch.float32)
    fits = _torch_takes(found)
    places = len(node.outputs) > 1 and bool(node.outputs[1])
    if not fits and (ceil_mode or places):
        found = _filled_up(found, x, bool(ceil_mode))
        ceil_mode = 0
    padding: list[int] = [a for a, _ in found.pads]
    original = x
    if not fits:
        x, padding = F.pad(x, found.flat, value=-math.inf), [0] * found.rank
    pool = (x, kernel_shape, found.strides, padding, found.dilations, bool(ceil_mode))
    if not places:
        return _MAX[found.rank](*pool).to(dtype)
    z, index = _MAX[found.rank](*pool, return_indices=True)
    return [z.to(dtype), _whole_index(index, x, original, found, fits, storage_order)]


def _whole_index(
    index: Tensor, x: Tensor, original: Tensor, found: Window, fits: bool, order: int
) -> Tensor:
    """Turn places within one channel into places in the whole tensor, as ONNX counts them."""
    sizes, wide = original.shape[2:], x.shape[2:]
    left, steps = index, []
    for axis in reversed(range(found.rank)):
        steps.append(left % wide[axis] - (0 if fits else found.pads[axis][0]))
        left = left // wide[axis]
    places = steps if order else steps[::-1]
    flat = _flat_index(places, sizes[::-1] if order else sizes)
    images = torch.arange(x.shape[0] * x.shape[1], device=x.device) * math.prod(sizes)
    return flat + images.reshape(x.shape[0], x.shape[1], *(1,) * found.rank)


def _torch_takes(found: Window) -> bool:
    """Tell whether the padding is the same at both ends, and at most half a window."""
    pads = zip(found.pads, found.kernel, strict=True)
    return found.same and all(2 * before <= kernel for (before, _), kernel in pads)


def _filled_up(found: Window, x: Tensor, ceil: bool) -> Window:
    """Return the window with so much padding at the end that every step is a whole one."""
    counts = found.outputs(tuple(x.shape[2:]), ceil)
    pads = []
    for i, count in enumerate(counts):
        before, _ = found.pads[i]
        reach = (found.kernel[i] - 1) * found.dilations[i] + 1
        pads.append((before, (count - 1) * found.strides[i] + reach - x.shape[2 + i] - before))
    return replace(found, pads=pads)


@op("AveragePool")
def average_pool(
    x: Tensor,
    *,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    count_include_pad: int = 0,
    dilations: Ints | None = None,
    kernel_shape: Ints,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Tensor:
    """Return the mean of every window, with or without its padding."""
    found = read_window(x, kernel_shape, auto_pad, dilations, pads, strides)
    plain = _torch_takes(found) and all(d == 1 for d in found.dilations)
    if plain:
        padding = [a for a, _ in found.pads]
        return _AVERAGE[found.rank](
            x, kernel_shape, found.strides, padding, bool(ceil_mode), bool(count_include_pad)
        )
    counted = torch.ones_like(x[:1, :1])
    whole = _filled_up(found, x, bool(ceil_mode))
    if count_include_pad:
        counted = F.pad(counted, found.flat, value=1.0)
        rest = [(0, b - c) for (_, b), (_, c) in zip(whole.pads, found.pads, strict=True)]
        counted = _window_sum(counted, replace(whole, pads=rest))
    else:
        counted = _window_sum(counted, whole)
    return _window_sum(x, whole) / counted


def _window_sum(x: Tensor, found: Window) -> Tensor:
    """Sum a window's entries, one axis after the other, as strided slices."""
    for kernel in found.kernel:
        check_iterations(kernel, "window")
    x = F.pad(x, found.flat)
    counts = replace(found, pads=[(0, 0)] * found.rank).outputs(tuple(x.shape[2:]), False)
    for i, (count, step) in enumerate(zip(counts, found.strides, strict=True)):
        starts = [at * found.dilations[i] for at in range(found.kernel[i])]
        cuts = [slice(start, start + (count - 1) * step + 1, step) for start in starts]
        x = reduce(torch.add, [_cut(x, i, cut) for cut in cuts])
    return x


def _cut(x: Tensor, axis: int, where: slice) -> Tensor:
    return x[(slice(None),) * (2 + axis) + (where,)]


@op("LpPool")
def lp_pool(
    x: Tensor,
    *,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    dilations: Ints | None = None,
    kernel_shape: Ints,
    p: float = 2,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Tensor:
    """Return the p-norm of every window."""
    found = read_window(x, kernel_shape, auto_pad, dilations, pads, strides)
    whole = _filled_up(found, x, bool(ceil_mode))
    return _window_sum(x.abs().pow(p), whole).pow(1 / p)


@op("GlobalAveragePool")
def global_average_pool(x: Tensor) -> Tensor:
    """Average over all axes behind the channels."""
    return x.mean(tuple(range(2, x.dim())), keepdim=True)


@op("GlobalMaxPool")
def global_max_pool(x: Tensor) -> Tensor:
    """Return the largest entry over all axes behind the channels."""
    return x.amax(tuple(range(2, x.dim())), keepdim=True)


@op("GlobalLpPool")
def global_lp_pool(x: Tensor, *, p: float = 2) -> Tensor:
    """Return the p-norm over all axes behind the channels."""
    norm: Tensor = torch.linalg.vector_norm(x, p, tuple(range(2, x.dim())), keepdim=True)
    return norm


@op("MaxUnpool", since=9)
def max_unpool(
    x: Tensor,
    indices: Tensor,
    output_shape: Ints | None = None,
    *,
    kernel_shape: Ints,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Tensor:
    """Write entries to the places that they were pooled from; the rest is 0."""
    found = read_window(x, kernel_shape, "NOTSET", None, pads, strides)
    own = [
        (n - 1) * s - a - b + k
        for n, s, (a, b), k in zip(
            x.shape[2:], found.strides, found.pads, kernel_shape, strict=True
        )
    ]
    shape = [*x.shape[:2], *own]
    places = indices.reshape(-1)
    if output_shape is not None:
        # The indices count places in the smaller result, which lies in the corner of the larger.
        places = _in_larger(places, shape, list(output_shape))
        shape = list(output_shape)
    zeros = torch.zeros(math.prod(shape), dtype=x.dtype, device=x.device)
    return zeros.scatter(0, places, x.reshape(-1)).reshape(shape)


def _in_larger(places: Tensor, small: list[int], large: list[int]) -> Tensor:
    steps = []
    for size in reversed(small):
        steps.append(places % size)
        places = places // size
    return _flat_index(steps[::-1], large)


def _flat_index(steps: Sequence[Tensor], sizes: Sequence[int]) -> Tensor:
    """Return the row-major place of entries from their place on each axis."""
    flat = steps[0]
    for step, size in zip(steps[1:], sizes[1:], strict=True):
        flat = flat * size + step
    return flat
