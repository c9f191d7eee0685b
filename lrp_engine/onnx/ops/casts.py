"""Element types."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..op_table import host, op
from ..values import (
    HostArray,
    OnnxValue,
    as_tensor,
    dtype_of,
)


@op("Cast", since=6)
def cast(x: Tensor, *, to: int, saturate: int = 1, round_mode: str = "up") -> Tensor:
    """Convert to the element type of an ONNX code."""
    return x.to(dtype_of(to))


@op("CastLike", since=15)
def cast_like(
    x: OnnxValue, like: OnnxValue, *, saturate: int = 1, round_mode: str = "up"
) -> OnnxValue:
    """Convert to the element type of another value."""
    dtype = as_tensor(like).dtype
    return HostArray.of(x.array, dtype) if isinstance(x, HostArray) else as_tensor(x).to(dtype)


@host("Cast", since=6)
def cast_known(x: HostArray, *, to: int, saturate: int = 1, round_mode: str = "up") -> HostArray:
    """Convert a known array; symbolic sizes stay as they are: as floats they compare and scale."""
    dtype = dtype_of(to)
    if not x.concrete and dtype == torch.bool:
        return HostArray.of(np.vectorize(bool)(x.array), dtype)
    return HostArray.of(x.array, dtype)
