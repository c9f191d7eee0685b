"""Sums, extremes, norms and sorting along axes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ..op_table import OpEntry, make_entry, op
from ..values import HostArray, Ints


def _prod(x: Tensor, axes: Ints, keep: bool) -> Tensor:
    for axis in sorted((a % x.dim() for a in axes), reverse=True):
        x = x.prod(axis, keepdim=keep)
    return x


def _extreme(function: Callable[..., Tensor], sign: int) -> Callable[..., Tensor]:
    def apply(x: Tensor, axes: Ints, keep: bool) -> Tensor:
        if any(isinstance(x.shape[a], int) and x.shape[a] == 0 for a in axes):
            return _of_nothing(x, axes, keep, sign)
        return function(x, axes, keep)

    return apply


def _of_nothing(x: Tensor, axes: Ints, keep: bool, sign: int) -> Tensor:
    """Return the extreme of no entries: the other end of the type's range."""
    if x.dtype == torch.bool:
        filling: float = sign > 0
    elif x.dtype.is_floating_point:
        filling = sign * float("inf")
    else:
        limits = torch.iinfo(x.dtype)
        filling = limits.max if sign > 0 else limits.min
    return torch.full_like(x.sum(axes, keep), filling, dtype=x.dtype)


def _floating(x: Tensor) -> Tensor:
    return x if x.is_floating_point() else x.to(torch.float32)


_REDUCTIONS: dict[str, Callable[[Tensor, Ints, bool], Tensor]] = {
    "ReduceSum": lambda x, axes, keep: x.sum(axes, keep, dtype=x.dtype),
    "ReduceMean": lambda x, axes, keep: x.mean(axes, keep),
    "ReduceMax": _extreme(torch.amax, -1),
    "ReduceMin": _extreme(torch.amin, 1),
    "ReduceProd": _prod,
    "ReduceL1": lambda x, axes, keep: x.abs().sum(axes, keep, dtype=x.dtype),
    "ReduceL2": lambda x, axes, keep: torch.linalg.vector_norm(_floating(x), 2, axes, keep).to(
        x.dtype
    ),
    "ReduceLogSum": lambda x, axes, keep: torch.log(x.sum(axes, keep)),
    "ReduceLogSumExp": lambda x, axes, keep: torch.logsumexp(_floating(x), axes, keep).to(x.dtype),
    "ReduceSumSquare": lambda x, axes, keep: (x * x).sum(axes, keep, dtype=x.dtype),
}


def _reduction(name: str, function: Callable[[Tensor, Ints, bool], Tensor]) -> OpEntry:
    def apply(
        data: Tensor, axes: Ints | None = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
    ) -> Tensor:
        if not axes and noop_with_empty_axes:
            return data if name not in _NOT_IDLE else function(data.unsqueeze(0), (0,), False)
        if data.dim() == 0:
            return function(data.unsqueeze(0), (0,), False)
        return function(data, axes or tuple(range(data.dim())), bool(keepdims))

    return make_entry(name, apply)


_NOT_IDLE = ("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceSumSquare", "ReduceLogSumExp")
REDUCTIONS = tuple(_reduction(name, f) for name, f in _REDUCTIONS.items())


def _reduction_known(name: str, function: Callable[..., object]) -> OpEntry:
    def apply(
        data: HostArray,
        axes: Ints | None = None,
        *,
        keepdims: int = 1,
        noop_with_empty_axes: int = 0,
    ) -> object:
        if not axes and noop_with_empty_axes:
            return data
        return function(data.array, axis=axes or None, keepdims=bool(keepdims))

    return make_entry(name, apply, on_host=True)


REDUCTIONS_KNOWN = (_reduction_known("ReduceSum", np.sum), _reduction_known("ReduceProd", np.prod))


@op("ArgMax")
def argmax(x: Tensor, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Tensor:
    """Return the place of the largest entry along an axis."""
    if select_last_index:
        return x.shape[axis] - 1 - torch.argmax(x.flip(axis), axis, bool(keepdims))
    return torch.argmax(x, axis, bool(keepdims))


@op("ArgMin")
def argmin(x: Tensor, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Tensor:
    """Return the place of the smallest entry along an axis."""
    if select_last_index:
        return x.shape[axis] - 1 - torch.argmin(x.flip(axis), axis, bool(keepdims))
    return torch.argmin(x, axis, bool(keepdims))


@op("CumSum", since=11)
def cumsum(x: Tensor, axis: int, *, exclusive: int = 0, reverse: int = 0) -> Tensor:
    """Return running sums along an axis."""
    x = x.flip(axis) if reverse else x
    z = x.cumsum(axis, dtype=x.dtype)
    z = z - x if exclusive else z
    return z.flip(axis) if reverse else z


@op("CumProd", since=26)
def cumprod(x: Tensor, axis: int, *, exclusive: int = 0, reverse: int = 0) -> Tensor:
    """Return running products along an axis."""
    x = x.flip(axis) if reverse else x
    if exclusive:
        ones = torch.ones_like(x.narrow(axis, 0, 1))
        x = torch.cat([ones, x.narrow(axis, 0, x.shape[axis] - 1)], axis)
    z = x.cumprod(axis, dtype=x.dtype)
    return z.flip(axis) if reverse else z


@op("TopK")
def top_k(x: Tensor, k: int, *, axis: int = -1, largest: int = 1, sorted: int = 1) -> list[Tensor]:
    """Return the k largest or smallest entries; of equal ones the first, unlike torch's topk."""
    values, indices = torch.sort(x, dim=axis, descending=bool(largest), stable=True)
    return [values.narrow(axis, 0, k), indices.narrow(axis, 0, k)]


def _flat(function: Callable[[Tensor, int], Tensor]) -> Callable[..., Tensor]:
    """Apply a function to everything from `axis` on, as one row: as before opset 13."""

    def apply(x: Tensor, *, axis: int = 1) -> Tensor:
        axis = axis % x.dim()
        if axis == x.dim() - 1:
            return function(x, -1)
        return function(x.flatten(axis), -1).reshape(x.shape)

    return apply


def _hardmax(x: Tensor, axis: int) -> Tensor:
    return torch.zeros_like(x).scatter(axis, torch.argmax(x, axis, keepdim=True), 1.0)


FLAT = (
    make_entry("Softmax", _flat(torch.softmax)),
    make_entry("LogSoftmax", _flat(torch.log_softmax)),
    make_entry("Hardmax", _flat(_hardmax)),
)


@op("Softmax", since=13)
def softmax(x: Tensor, *, axis: int = -1) -> Tensor:
    """Return the softmax along an axis."""
    return torch.softmax(x, axis)


@op("LogSoftmax", since=13)
def log_softmax(x: Tensor, *, axis: int = -1) -> Tensor:
    """Return the logarithm of the softmax along an axis."""
    return torch.log_softmax(x, axis)


@op("Hardmax", since=13)
def hardmax(x: Tensor, *, axis: int = -1) -> Tensor:
    """Return 1 at the first largest entry along an axis, else 0."""
    return _hardmax(x, axis)
