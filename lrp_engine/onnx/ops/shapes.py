"""Sizes, and ops that keep all entries but give them another shape or place."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from ..op_table import NodeContext, host, op
from ..unsupported import Refused
from ..values import (
    HostArray,
    Ints,
    OnnxValue,
    as_host,
    as_ints,
    as_number,
    as_tensor,
    dtype_of,
    is_small,
)


def _sizes(x: OnnxValue) -> Ints:
    if isinstance(x, tuple):
        raise Refused("a sequence has no shape")
    return tuple(x.array.shape if isinstance(x, HostArray) else x.shape)


@op("Shape")
def shape(x: OnnxValue, *, start: int = 0, end: int | None = None) -> HostArray:
    """Return the sizes of axes, which are always known."""
    return HostArray.of(list(_sizes(x)[start:end]))


@op("Size")
def size(x: OnnxValue) -> HostArray:
    """Return the number of entries, which is always known."""
    return HostArray.of(math.prod(_sizes(x)))


@op("Identity")
def identity(x: OnnxValue) -> OnnxValue:
    """Return x as it is."""
    return x


@op("Constant")
def constant(
    *,
    value: OnnxValue | None = None,
    value_float: float | None = None,
    value_floats: tuple[float, ...] | None = None,
    value_int: int | None = None,
    value_ints: Ints | None = None,
) -> OnnxValue:
    """Return a constant that is given as an attribute of any kind."""
    if value is not None:
        return value
    for floats in (value_float, value_floats):
        if floats is not None:
            return HostArray.of(floats, torch.float32)
    for ints in (value_int, value_ints):
        if ints is not None:
            return HostArray.of(ints)
    raise Refused("a constant without a value")


@op("ConstantOfShape", since=9)
def constant_of_shape(shape: Ints, *, value: OnnxValue | None = None) -> Tensor:
    """Fill a tensor of a known shape with one value."""
    if value is None:
        return torch.zeros(shape)
    filling = as_tensor(value)
    return torch.full(shape, as_number(value), dtype=filling.dtype, device=filling.device)


@host("ConstantOfShape", since=9)
def constant_of_shape_known(shape: HostArray, *, value: OnnxValue | None = None) -> object:
    """Fill a small array of a known shape with one value."""
    if not is_small(shape):
        return NotImplemented
    filling = HostArray.of([0.0], torch.float32) if value is None else as_host(value)
    return HostArray.of(np.full(as_ints(shape), as_number(filling)), filling.dtype)


def _reshaped(sizes: Ints, wanted: Ints, allowzero: int) -> Ints:
    if allowzero:
        return wanted
    return tuple(
        sizes[i] if isinstance(s, int) and s == 0 and i < len(sizes) else s
        for i, s in enumerate(wanted)
    )


@op("Reshape")
def reshape(x: Tensor, shape: Ints, *, allowzero: int = 0) -> Tensor:
    """Reshape; 0 keeps a size unless `allowzero`."""
    return x.reshape(_reshaped(tuple(x.shape), shape, allowzero))


@host("Reshape")
def reshape_known(x: HostArray, shape: Ints, *, allowzero: int = 0) -> np.ndarray:
    """Reshape a known array."""
    return x.array.reshape(_reshaped(x.array.shape, shape, allowzero))


@op("Flatten")
def flatten(x: Tensor, *, axis: int = 1) -> Tensor:
    """Reshape to two axes: those before `axis`, and the rest."""
    axis = axis + x.dim() if axis < 0 else axis
    if axis == 0:
        return x.reshape(1, -1)
    if axis == 1:
        return x.flatten(1) if x.dim() > 1 else x.unsqueeze(1)
    rows = math.prod(x.shape[:axis])
    return x.reshape(rows, math.prod(x.shape[axis:]))


@op("Squeeze")
def squeeze(x: Tensor, axes: Ints | None = None) -> Tensor:
    """Remove axes of size 1."""
    if axes is None:
        axes = tuple(i for i, s in enumerate(x.shape) if isinstance(s, int) and s == 1)
    return x.squeeze(axes)


@host("Squeeze")
def squeeze_known(x: HostArray, axes: Ints | None = None) -> np.ndarray:
    """Remove axes of size 1 from a known array."""
    return np.squeeze(x.array, axes)


@op("Unsqueeze")
def unsqueeze(x: Tensor, axes: Ints) -> Tensor:
    """Insert axes of size 1."""
    rank = x.dim() + len(axes)
    for axis in sorted(a + rank if a < 0 else a for a in axes):
        x = x.unsqueeze(axis)
    return x


@host("Unsqueeze")
def unsqueeze_known(x: HostArray, axes: Ints) -> np.ndarray:
    """Insert axes of size 1 into a known array."""
    return np.expand_dims(x.array, axes)


@op("Transpose")
def transpose(x: Tensor, *, perm: Ints | None = None) -> Tensor:
    """Permute the axes, by default into the opposite order."""
    return x.permute(perm if perm is not None else tuple(range(x.dim()))[::-1])


@host("Transpose")
def transpose_known(x: HostArray, *, perm: Ints | None = None) -> np.ndarray:
    """Permute the axes of a known array."""
    return np.transpose(x.array, perm)


@op("Concat", since=4)
def concat(*xs: Tensor, axis: int) -> Tensor:
    """Concatenate along an axis."""
    return torch.cat(xs, axis)


@op("Concat")
def concat_before_4(*xs: Tensor, axis: int = 1) -> Tensor:
    """Concatenate along an axis, by default the second."""
    return torch.cat(xs, axis)


@host("Concat")
def concat_known(*xs: HostArray, axis: int = 1) -> np.ndarray:
    """Concatenate known arrays."""
    return np.concatenate([x.array for x in xs], axis)


@op("Expand", since=8)
def expand(x: Tensor, shape: Ints) -> Tensor:
    """Broadcast to a known shape."""
    return x.expand(_broadcast(tuple(x.shape), shape))


@host("Expand", since=8)
def expand_known(x: HostArray, shape: HostArray) -> object:
    """Broadcast a known array to a small shape."""
    if not is_small(shape):
        return NotImplemented
    return np.broadcast_to(x.array, np.broadcast_shapes(x.array.shape, as_ints(shape)))


def _broadcast(have: Ints, want: Ints) -> Ints:
    """Return sizes after broadcasting, without a guard where a size is symbolic."""
    rank = max(len(have), len(want))
    have, want = (1,) * (rank - len(have)) + have, (1,) * (rank - len(want)) + want
    return tuple(w if _is_one(h) else h for h, w in zip(have, want, strict=True))


def _is_one(size: int) -> bool:
    return isinstance(size, int) and size == 1


@op("Tile", since=6)
def tile(x: Tensor, repeats: Ints) -> Tensor:
    """Repeat along every axis."""
    return x.repeat(repeats)


@op("Tile")
def tile_one_axis(x: Tensor, tiles: int, axis: int) -> Tensor:
    """Repeat along one axis, as before opset 6."""
    return x.repeat([tiles if i == axis else 1 for i in range(x.dim())])


@host("Tile", since=6)
def tile_known(x: HostArray, repeats: HostArray) -> object:
    """Repeat a known array along every axis."""
    return np.tile(x.array, as_ints(repeats)) if is_small(repeats) else NotImplemented


@op("Split")
def split(
    x: Tensor,
    split: Ints | None = None,
    *,
    axis: int = 0,
    num_outputs: int | None = None,
    node: NodeContext,
) -> list[Tensor]:
    """Split along an axis, by sizes or evenly."""
    count = _count_parts(node, num_outputs)
    return list(torch.split(x, list(split or _even(x.shape[axis], count)), axis))


@host("Split")
def split_known(
    x: HostArray,
    split: Ints | None = None,
    *,
    axis: int = 0,
    num_outputs: int | None = None,
    node: NodeContext,
) -> list[np.ndarray]:
    """Split a known array along an axis."""
    sizes = split or _even(x.array.shape[axis], _count_parts(node, num_outputs))
    return np.split(x.array, np.cumsum(sizes)[:-1], axis)


def _count_parts(node: NodeContext, num_outputs: int | None) -> int:
    """Return how many outputs a node has. Raises Refused if it says another number."""
    if num_outputs not in (None, len(node.outputs)):
        raise Refused(f"it has {len(node.outputs)} outputs, and num_outputs is {num_outputs}")
    return len(node.outputs)


def _even(size: int, count: int) -> Ints:
    """Return equal parts; the last one is smaller if they do not divide."""
    part = (size + count - 1) // count
    return (*(part,) * (count - 1), size - part * (count - 1))


@op("DepthToSpace")
def depth_to_space(x: Tensor, *, blocksize: int, mode: str = "DCR") -> Tensor:
    """Move channels into blocks of height and width."""
    if mode == "CRD":
        return torch.pixel_shuffle(x, blocksize)
    n, c, h, w = x.shape
    parts = x.reshape(n, blocksize, blocksize, c // blocksize**2, h, w)
    moved = parts.permute(0, 3, 4, 1, 5, 2)
    return moved.reshape(n, c // blocksize**2, h * blocksize, w * blocksize)


@op("SpaceToDepth")
def space_to_depth(x: Tensor, *, blocksize: int, mode: str = "DCR") -> Tensor:
    """Move blocks of height and width into channels."""
    if mode == "CRD":
        return torch.pixel_unshuffle(x, blocksize)
    n, c, h, w = x.shape
    parts = x.reshape(n, c, h // blocksize, blocksize, w // blocksize, blocksize)
    moved = parts.permute(0, 3, 5, 1, 2, 4)
    return moved.reshape(n, c * blocksize**2, h // blocksize, w // blocksize)


@op("Trilu", since=14)
def trilu(x: Tensor, k: int = 0, *, upper: int = 1) -> Tensor:
    """Keep the upper or lower triangle of matrices."""
    return torch.triu(x, k) if upper else torch.tril(x, k)


@op("Range", since=11)
def arange(start: HostArray, limit: HostArray, delta: HostArray) -> Tensor:
    """Count from start to limit in steps."""
    first, last, step = as_number(start), as_number(limit), as_number(delta)
    if not start.dtype.is_floating_point:
        return torch.arange(first, last, step, dtype=start.dtype)
    count = max(math.ceil((last - first) / step), 0)
    return (first + torch.arange(count, dtype=torch.float64) * step).to(start.dtype)


@host("Range", since=11)
def arange_known(start: HostArray, limit: HostArray, delta: HostArray) -> object:
    """Count from start to limit in steps, where few steps are known."""
    if not (start.concrete and limit.concrete and delta.concrete):
        return NotImplemented
    first, last, step = as_number(start), as_number(limit), as_number(delta)
    count = HostArray.of(max(math.ceil((last - first) / step), 0))
    return first + np.arange(as_number(count)) * step if is_small(count) else NotImplemented


@op("EyeLike", since=9)
def eye_like(x: Tensor, *, dtype: int | None = None, k: int = 0) -> Tensor:
    """Return a matrix of x's sizes with ones on a diagonal."""
    rows = torch.arange(x.shape[0], device=x.device).unsqueeze(1)
    columns = torch.arange(x.shape[1], device=x.device)
    return (rows + k == columns).to(x.dtype if dtype is None else dtype_of(dtype))
