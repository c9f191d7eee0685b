"""Ops that draw random numbers: which, is torch's business."""

from __future__ import annotations

import torch
from torch import Tensor

from ..op_table import op
from ..values import Ints, dtype_of

_FLOAT = 1


@op("RandomNormal")
def normal(
    *, shape: Ints, dtype: int = _FLOAT, mean: float = 0.0, scale: float = 1.0, seed: float = 0.0
) -> Tensor:
    """Draw from a normal distribution."""
    return torch.randn(list(shape), dtype=dtype_of(dtype)) * scale + mean


@op("RandomNormalLike")
def normal_like(
    x: Tensor,
    *,
    dtype: int | None = None,
    mean: float = 0.0,
    scale: float = 1.0,
    seed: float = 0.0,
) -> Tensor:
    """Draw as many numbers as x has from a normal distribution."""
    return torch.randn_like(x, dtype=_dtype(x, dtype)) * scale + mean


@op("RandomUniform")
def uniform(
    *, shape: Ints, dtype: int = _FLOAT, high: float = 1.0, low: float = 0.0, seed: float = 0.0
) -> Tensor:
    """Draw evenly from an interval."""
    return torch.rand(list(shape), dtype=dtype_of(dtype)) * (high - low) + low


@op("RandomUniformLike")
def uniform_like(
    x: Tensor,
    *,
    dtype: int | None = None,
    high: float = 1.0,
    low: float = 0.0,
    seed: float = 0.0,
) -> Tensor:
    """Draw as many numbers as x has evenly from an interval."""
    return torch.rand_like(x, dtype=_dtype(x, dtype)) * (high - low) + low


def _dtype(x: Tensor, code: int | None) -> torch.dtype:
    return x.dtype if code is None else dtype_of(code)
