"""Ops that choose and place entries by index."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from ..op_table import host, op
from ..unsupported import Refused
from ..values import (
    HostArray,
    Ints,
    OnnxValue,
    as_ints,
    as_number,
    as_tensor,
)

_FAR = 2**31 - 2  # ends beyond this mean "to the end"


@op("Slice", since=10)
def slice_(
    x: Tensor, starts: Ints, ends: Ints, axes: Ints | None = None, steps: Ints | None = None
) -> Tensor:
    """Cut ranges out of axes, forward or backward."""
    for axis, start, end, step in _ranges(starts, ends, axes, steps):
        axis = axis % x.dim()
        last: int | None = end
        if step < 0:
            x, start, last, step = x.flip(axis), *_mirrored(start, end, step, x.shape[axis])
        cut = slice(start, None if last is None or last > _FAR else last, step)
        x = x[(slice(None),) * axis + (cut,)]
    return x


@op("Slice")
def slice_before_10(x: Tensor, *, starts: Ints, ends: Ints, axes: Ints | None = None) -> Tensor:
    """Cut ranges that are given as attributes."""
    for axis, start, end, _ in _ranges(starts, ends, axes, None):
        x = x[(slice(None),) * (axis % x.dim()) + (slice(start, end if end <= _FAR else None),)]
    return x


@host("Slice", since=10)
def slice_known(
    x: HostArray, starts: Ints, ends: Ints, axes: Ints | None = None, steps: Ints | None = None
) -> np.ndarray:
    """Cut ranges out of a known array."""
    return _cut(x.array, _ranges(starts, ends, axes, steps))


@host("Slice")
def slice_known_before_10(
    x: HostArray, *, starts: Ints, ends: Ints, axes: Ints | None = None
) -> np.ndarray:
    """Cut ranges that are given as attributes out of a known array."""
    return _cut(x.array, _ranges(starts, ends, axes, None))


def _cut(array: np.ndarray, ranges: list[tuple[int, int, int, int]]) -> np.ndarray:
    for axis, start, end, step in ranges:
        gone = step < 0 and end < -array.shape[axis]
        cut = slice(start, None if gone else end, step)
        array = array[(slice(None),) * (axis % array.ndim) + (cut,)]
    return array


def _ranges(
    starts: Ints, ends: Ints, axes: Ints | None, steps: Ints | None
) -> list[tuple[int, int, int, int]]:
    count = len(starts)
    return list(zip(axes or range(count), starts, ends, steps or (1,) * count, strict=True))


def _mirrored(start: int, end: int, step: int, size: int) -> tuple[int, int | None, int]:
    """Return a backward range as a forward one over the flipped axis."""
    if not isinstance(size, int) and start == -1 and end < -_FAR:
        return 0, None, -step
    if not isinstance(size, int):
        raise Refused("a part of an axis of open size is read backward")
    first, last, _ = slice(start, None if end < -size else end, step).indices(size)
    return size - 1 - first, size - 1 - last, -step


@op("Gather")
def gather(x: Tensor, indices: OnnxValue, *, axis: int = 0) -> Tensor:
    """Look up slices along an axis; rows of a matrix as an embedding."""
    axis = axis % x.dim()
    if isinstance(indices, HostArray) and indices.array.ndim == 0:
        return x.select(axis, as_ints(indices)[0])
    index = as_tensor(indices).long()
    if axis == 0 and x.dim() == 2 and x.is_floating_point() and index.dim() > 1:
        return torch.nn.functional.embedding(index, x)
    return x[(slice(None),) * axis + (index,)]


@host("Gather")
def gather_known(x: HostArray, indices: HostArray, *, axis: int = 0) -> object:
    """Look up slices of a known array at known indices."""
    if not indices.concrete:
        return NotImplemented
    return np.asarray(np.take(x.array, indices.array, axis))


def _not_negative(index: Tensor, size: int) -> Tensor:
    return torch.where(index < 0, index + size, index)


@op("GatherElements", since=11)
def gather_elements(x: Tensor, indices: Tensor, *, axis: int = 0) -> Tensor:
    """Look up single entries along an axis."""
    return torch.gather(x, axis, _not_negative(indices.long(), x.shape[axis]))


@op("GatherND", since=11)
def gather_nd(x: Tensor, indices: Tensor, *, batch_dims: int = 0) -> Tensor:
    """Look up entries or slices by index tuples."""
    return x[_leading(x, indices, batch_dims)]


def _leading(x: Tensor, indices: Tensor, batch_dims: int = 0) -> tuple[Tensor, ...]:
    """Return index tensors for the first axes: counters for the batch, then what is given."""
    found = []
    for axis in range(batch_dims):
        counter = torch.arange(x.shape[axis], device=x.device)
        found.append(counter.reshape([-1 if i == axis else 1 for i in range(indices.dim() - 1)]))
    return (*found, *indices.long().unbind(-1))


_REDUCE = {"mul": "prod", "max": "amax", "min": "amin"}


@op("ScatterElements", "Scatter", since=9)
def scatter_elements(
    x: Tensor, indices: Tensor, updates: Tensor, *, axis: int = 0, reduction: str = "none"
) -> Tensor:
    """Write single entries along an axis, or reduce them into x."""
    places = _not_negative(indices.long(), x.shape[axis])
    if reduction == "none":
        return torch.scatter(x, axis, places, updates)
    if reduction == "add":
        return torch.scatter_add(x, axis, places, updates)
    return torch.scatter_reduce(x, axis, places, updates, _REDUCE[reduction])


@op("ScatterND", since=11)
def scatter_nd(x: Tensor, indices: Tensor, updates: Tensor, *, reduction: str = "none") -> Tensor:
    """Write slices at index tuples, or reduce them into x."""
    if reduction in ("none", "add"):
        return torch.index_put(x, _leading(x, indices), updates, reduction == "add")
    depth = indices.shape[-1]
    row = math.prod(x.shape[depth:])
    steps = [_not_negative(index, x.shape[i]) for i, index in enumerate(indices.long().unbind(-1))]
    flat = steps[0]
    for step, size in zip(steps[1:], x.shape[1:], strict=False):
        flat = flat * size + step
    places = flat.reshape(-1, 1).expand(-1, row)
    found = torch.scatter_reduce(
        x.reshape(-1, row), 0, places, updates.reshape(-1, row), _REDUCE[reduction]
    )
    return found.reshape(x.shape)


@op("Compress", since=9)
def compress(x: Tensor, condition: Tensor, *, axis: int | None = None) -> Tensor:
    """Keep the slices of an axis where a condition holds."""
    x, axis = (x.reshape(-1), 0) if axis is None else (x, axis)
    places = condition.nonzero().squeeze(1)
    return x.index_select(axis, places)


@op("NonZero", since=9)
def nonzero(x: Tensor) -> Tensor:
    """Return the indices of nonzero entries, one row per axis."""
    return x.nonzero().t()


@op("OneHot", since=9)
def one_hot(indices: Tensor, depth: int, values: Tensor, *, axis: int = -1) -> Tensor:
    """Write one of two values, by whether a class is the index."""
    depth = int(depth)
    axis = axis if axis >= 0 else axis + indices.dim() + 1
    places = indices.long().unsqueeze(axis)
    shape = [-1 if i == axis else 1 for i in range(indices.dim() + 1)]
    counter = torch.arange(depth, device=indices.device).reshape(shape)
    hit = torch.where(places < 0, places + depth, places) == counter
    return torch.where(hit, values[1], values[0])


@op("ReverseSequence", since=10)
def reverse_sequence(
    x: Tensor, lengths: Tensor, *, batch_axis: int = 1, time_axis: int = 0
) -> Tensor:
    """Reverse the first steps of every sequence, as many as its length says."""
    steps = torch.arange(x.shape[time_axis], device=x.device)
    lengths = lengths.long().unsqueeze(1)
    places = torch.where(steps < lengths, lengths - 1 - steps, steps)
    places = places if batch_axis < time_axis else places.t()
    shape = [x.shape[i] if i in (batch_axis, time_axis) else 1 for i in range(x.dim())]
    return torch.gather(x, time_axis, places.reshape(shape).expand(x.shape))


@op("Pad", since=11)
def pad(
    x: Tensor,
    pads: Ints,
    constant_value: OnnxValue | None = None,
    axes: Ints | None = None,
    *,
    mode: str = "constant",
) -> Tensor:
    """Pad known amounts at both ends of axes."""
    filling = 0 if constant_value is None else as_number(constant_value)
    return pad_ends(x, _both_ends(x, pads, axes), mode, filling)


@op("Pad", since=2)
def pad_before_11(x: Tensor, *, pads: Ints, mode: str = "constant", value: float = 0.0) -> Tensor:
    """Pad amounts that are given as attributes."""
    return pad_ends(x, _both_ends(x, pads, None), mode, value)


@op("Pad")
def pad_before_2(
    x: Tensor, *, paddings: Ints, mode: str = "constant", value: float = 0.0
) -> Tensor:
    """Pad amounts that are given as attributes, under their oldest name."""
    return pad_ends(x, _both_ends(x, paddings, None), mode, value)


def _both_ends(x: Tensor, pads: Ints, axes: Ints | None) -> list[tuple[int, int]]:
    """Return (before, after) for every axis."""
    named = [a % x.dim() for a in axes] if axes is not None else list(range(x.dim()))
    found: list[tuple[int, int]] = [(0, 0)] * x.dim()
    for i, axis in enumerate(named):
        found[axis] = (pads[i], pads[i + len(named)])
    return found


def pad_ends(x: Tensor, ends: list[tuple[int, int]], mode: str, filling: float = 0) -> Tensor:
    """Pad with a constant, or with x's own entries by index."""
    if mode == "constant":
        flat = [n for pair in reversed(ends) for n in pair]
        while len(flat) > 2 and isinstance(flat[-1], int) and flat[-1] == flat[-2] == 0:
            flat = flat[:-2]
        return torch.nn.functional.pad(x, flat, value=filling)
    for axis, (before, after) in enumerate(ends):
        if not (isinstance(before, int) and before == 0 and isinstance(after, int) and after == 0):
            size = x.shape[axis]
            places = torch.arange(-before, size + after, device=x.device)
            x = x.index_select(axis, _folded_back(places, size, mode))
    return x


def _folded_back(places: Tensor, size: int, mode: str) -> Tensor:
    if mode == "edge":
        return places.clamp(0, size - 1)
    if mode == "wrap":
        return places.remainder(size)
    if mode == "reflect":
        return size - 1 - (places.remainder(2 * (size - 1)) - (size - 1)).abs()
    raise Refused(f"padding mode {mode!r} is not supported")


@host("ScatterElements", since=11)
def scatter_elements_known(
    x: HostArray, indices: Ints, updates: HostArray, *, axis: int = 0, reduction: str = "none"
) -> object:
    """Write entries into a known row."""
    if reduction != "none" or x.array.ndim != 1:
        return NotImplemented
    found = x.array.astype(object)
    for place, entry in zip(indices, as_ints(updates), strict=True):
        found[place] = entry
    return HostArray.of(found, x.dtype)


@op("TensorScatter", since=24)
def tensor_scatter(
    x: Tensor,
    update: Tensor,
    write_indices: Tensor | None = None,
    *,
    axis: int = -2,
    mode: str = "linear",
) -> Tensor:
    """Write a run of entries along `axis`, starting at an index of its own for every sample."""
    axis = axis % x.dim()
    steps = torch.arange(update.shape[axis], device=x.device)
    if write_indices is None:
        places = steps.expand(x.shape[0], -1)
    else:
        places = write_indices.long().unsqueeze(1) + steps
    if mode == "circular":
        places = places.remainder(x.shape[axis])
    shape = [update.shape[i] if i in (0, axis) else 1 for i in range(x.dim())]
    return torch.scatter(x, axis, places.reshape(shape).expand(update.shape), update)
