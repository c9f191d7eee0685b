"""Sizes, and ops that give entries another place."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..errors import Refused
from ..table import Node, host, op
from ..values import Host, Ints, Value, as_host, as_ints, as_number, as_tensor, is_small


@op("Shape")
def shape(x: Value, *, start: int = 0, end: int | None = None) -> Host:
    if isinstance(x, tuple):
        raise Refused("a sequence has no shape")
    sizes = x.array.shape if isinstance(x, Host) else x.shape
    return Host.of(list(sizes)[start:end])


@op("Reshape", since=5)
def reshape(x: Tensor, shape: Ints, *, allowzero: int = 0) -> Tensor:
    if not allowzero:
        shape = tuple(x.shape[i] if s == 0 else s for i, s in enumerate(shape))
    return x.reshape(shape)


@op("Transpose")
def transpose(x: Tensor, *, perm: Ints | None = None) -> Tensor:
    return x.permute(perm if perm is not None else tuple(range(x.dim()))[::-1])


@op("Concat", since=4)
def concat(*xs: Tensor, axis: int) -> Tensor:
    return torch.cat(xs, axis)


@host("Concat", since=4)
def concat_known(*xs: Host, axis: int) -> np.ndarray:
    return np.concatenate([x.array for x in xs], axis)


@op("Softmax", since=13)
def softmax(x: Tensor, *, axis: int = -1) -> Tensor:
    return torch.softmax(x, axis)


@op("Constant")
def constant(*, node: Node, value: Value | None = None) -> Value:
    if value is None:
        raise Refused("a constant of this kind is not supported")
    return value


@op("ConstantOfShape", since=9)
def constant_of_shape(shape: Ints, *, value: Value | None = None) -> Tensor:
    if value is None:
        return torch.zeros(shape)
    filling = as_tensor(value)
    return torch.full(shape, as_number(value), dtype=filling.dtype, device=filling.device)


@host("ConstantOfShape", since=9)
def constant_of_shape_known(shape: Host, *, value: Value | None = None) -> Host:
    if not is_small(shape):
        return NotImplemented
    filling = Host.of([0.0], torch.float32) if value is None else as_host(value)
    return Host.of(np.full(as_ints(shape), as_number(filling)), filling.dtype)
