"""The two kinds of values of an ONNX graph: tensors, and host values known while it is traced.

Shapes, axes, indices and small constants are host values: NumPy arrays whose entries may be
symbolic sizes. They are computed while the graph is traced, never become tensors unless an op
needs them as data, and so leave nothing in the captured graph that would depend on data.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import torch
from torch import Tensor

from .tensors import SUB_BYTE, TORCH_DTYPES, type_name
from .unsupported import Refused

# Sizes that are left open are torch.SymInt while the graph is traced; torch's stubs call them int.
Ints = tuple[int, ...]

# Constants of at most so many entries get a host value.
_MOST_FLOATS, _MOST_INTS = 64, 2048

_NUMPY = {
    torch.bfloat16: ml_dtypes.bfloat16,
    torch.float8_e4m3fn: ml_dtypes.float8_e4m3fn,
    torch.float8_e4m3fnuz: ml_dtypes.float8_e4m3fnuz,
    torch.float8_e5m2: ml_dtypes.float8_e5m2,
    torch.float8_e5m2fnuz: ml_dtypes.float8_e5m2fnuz,
}


@dataclass(frozen=True, eq=False)
class HostArray:
    """A value known while the graph is traced; `array` has dtype object if a size is symbolic.

    `constant` is the tensor that it was read from, if there is one.
    """

    array: np.ndarray
    dtype: torch.dtype
    constant: Tensor | None = None

    @property
    def concrete(self) -> bool:
        """True if every entry is a number."""
        return self.array.dtype != object

    @classmethod
    def of(cls, entries: object, dtype: torch.dtype = torch.int64) -> HostArray:
        """Hold numbers and symbolic sizes in (nested) sequences; what is a number becomes one."""
        array = np.asarray(entries, dtype=object) if _has_symbols(entries) else np.asarray(entries)
        return cls(_settled(array, dtype), dtype)


# A tuple is a sequence of values.
OnnxValue = Tensor | HostArray | tuple["OnnxValue", ...]


def dtype_of(code: int) -> torch.dtype:
    """Return the torch dtype of an ONNX element type. Raises Refused for strings, 4-bit types."""
    if code in SUB_BYTE or code not in TORCH_DTYPES:
        raise Refused(f"element type {type_name(code)} is not supported")
    return TORCH_DTYPES[code]


def numpy_of(dtype: torch.dtype) -> np.dtype:
    """Return the NumPy dtype of a torch dtype."""
    return np.dtype(_NUMPY.get(dtype) or str(dtype).removeprefix("torch."))


def as_constant(tensor: Tensor) -> OnnxValue:
    """Return a constant as a host value if it is small, as it is if not."""
    most = _MOST_FLOATS if tensor.is_floating_point() else 0 if tensor.is_complex() else _MOST_INTS
    if tensor.numel() > most:
        return tensor
    array = np.asarray(tensor.tolist())
    return HostArray(_settled(array, tensor.dtype).reshape(tensor.shape), tensor.dtype, tensor)


def as_tensor(value: OnnxValue) -> Tensor:
    """Return a value as a tensor; a host value becomes a constant, or is built from its sizes."""
    if isinstance(value, Tensor):
        return value
    if isinstance(value, tuple):
        raise Refused("a sequence stands where a tensor is expected")
    if value.constant is not None:
        return value.constant
    if value.concrete:
        return torch.tensor(value.array.tolist(), dtype=value.dtype).reshape(value.array.shape)
    entries = [torch.scalar_tensor(entry, dtype=value.dtype) for entry in value.array.flat]
    return torch.stack(entries).reshape(value.array.shape)


def as_host(value: OnnxValue) -> HostArray:
    """Return a value that has to be known while tracing. Raises Refused if it is not."""
    if not isinstance(value, HostArray):
        raise Refused("an input that must be known in advance depends on data")
    return value


def as_ints(value: OnnxValue) -> Ints:
    """Return whole numbers or symbolic sizes, flat."""
    return tuple(_plain(entry) for entry in as_host(value).array.flat)


def as_number(value: OnnxValue) -> float:
    """Return one number or symbolic size. Raises Refused unless there is exactly one."""
    array = as_host(value).array
    if array.size != 1:
        raise Refused(f"one number is expected, not {array.size}")
    number: float = _plain(array.reshape(-1)[0])
    return number


def is_small(shape: HostArray) -> bool:
    """Return whether an array of this shape may be a host value."""
    return shape.concrete and math.prod(as_ints(shape)) <= _MOST_INTS


def all_known(values: Iterable[OnnxValue | None]) -> bool:
    """Return whether all values (None: an input left out) are host values."""
    return all(value is None or isinstance(value, HostArray) for value in values)


def _plain(entry: Any) -> Any:
    return entry.item() if isinstance(entry, np.generic) else entry


def _has_symbols(entries: object) -> bool:
    if isinstance(entries, np.ndarray):
        return entries.dtype == object and any(_symbolic(e) for e in entries.flat)
    if isinstance(entries, (tuple, list)):
        return any(map(_has_symbols, entries))
    return _symbolic(entries)


def _symbolic(entry: object) -> bool:
    return isinstance(entry, (torch.SymInt, torch.SymFloat, torch.SymBool))


def _settled(array: np.ndarray, dtype: torch.dtype) -> np.ndarray:
    """Keep object dtype only where a symbolic entry needs it."""
    if array.dtype == object and _has_symbols(array):
        return array
    return array.astype(numpy_of(dtype))
