"""Read tensors of an ONNX file as torch tensors, after their sizes have been checked."""

from __future__ import annotations

import math

import numpy as np
import torch
from onnx import TensorProto, numpy_helper
from torch import Tensor

from ..errors import OnnxFileError
from .external import MappedFiles, read_span, span_of

# Types whose bytes torch reads as they are.
TORCH_DTYPES: dict[int, torch.dtype] = {
    TensorProto.FLOAT: torch.float32,
    TensorProto.DOUBLE: torch.float64,
    TensorProto.FLOAT16: torch.float16,
    TensorProto.BFLOAT16: torch.bfloat16,
    TensorProto.INT8: torch.int8,
    TensorProto.INT16: torch.int16,
    TensorProto.INT32: torch.int32,
    TensorProto.INT64: torch.int64,
    TensorProto.UINT8: torch.uint8,
    TensorProto.UINT16: torch.uint16,
    TensorProto.UINT32: torch.uint32,
    TensorProto.UINT64: torch.uint64,
    TensorProto.BOOL: torch.bool,
    TensorProto.COMPLEX64: torch.complex64,
    TensorProto.COMPLEX128: torch.complex128,
    TensorProto.FLOAT8E4M3FN: torch.float8_e4m3fn,
    TensorProto.FLOAT8E4M3FNUZ: torch.float8_e4m3fnuz,
    TensorProto.FLOAT8E5M2: torch.float8_e5m2,
    TensorProto.FLOAT8E5M2FNUZ: torch.float8_e5m2fnuz,
    TensorProto.FLOAT8E8M0: torch.float8_e8m0fnu,
}

# Types of less than a byte: bits per element, and the torch type that holds every value.
SUB_BYTE: dict[int, tuple[int, torch.dtype]] = {
    TensorProto.INT4: (4, torch.int8),
    TensorProto.UINT4: (4, torch.uint8),
    TensorProto.INT2: (2, torch.int8),
    TensorProto.UINT2: (2, torch.uint8),
    TensorProto.FLOAT4E2M1: (4, torch.float32),
}

# Which typed field holds a type, and how many entries one element takes; raw bytes apart.
_FIELDS: dict[str, tuple[int, ...]] = {
    "float_data": (TensorProto.FLOAT, TensorProto.COMPLEX64),
    "double_data": (TensorProto.DOUBLE, TensorProto.COMPLEX128),
    "int64_data": (TensorProto.INT64,),
    "uint64_data": (TensorProto.UINT32, TensorProto.UINT64),
    "string_data": (TensorProto.STRING,),
}
_LARGEST_DIM = 1 << 40


def type_name(data_type: int) -> str:
    """Return ONNX's name of an element type, or its number if it has none."""
    known = TensorProto.DataType.DESCRIPTOR.values_by_number.get(data_type)
    return known.name if known else str(data_type)


def shape_of(proto: TensorProto) -> tuple[int, ...]:
    """Return a tensor's sizes. Raises OnnxFileError if one is negative or absurd."""
    shape = tuple(proto.dims)
    if any(not 0 <= size <= _LARGEST_DIM for size in shape):
        raise OnnxFileError(f"tensor {proto.name!r} has the shape {shape}")
    return shape


def byte_count(proto: TensorProto) -> int:
    """Return how many bytes the tensor's elements take in a file."""
    count = math.prod(shape_of(proto))
    if proto.data_type in SUB_BYTE:
        return -(-count * SUB_BYTE[proto.data_type][0] // 8)
    if proto.data_type not in TORCH_DTYPES:
        raise OnnxFileError(
            f"tensor {proto.name!r} has elements of type {type_name(proto.data_type)}"
        )
    return count * TORCH_DTYPES[proto.data_type].itemsize


def check_tensor(proto: TensorProto, files: MappedFiles) -> None:
    """Raise OnnxFileError unless shape, element type and the data that is there agree."""
    if proto.data_type == TensorProto.STRING:
        _check_count(proto, math.prod(shape_of(proto)))
        return
    expected = byte_count(proto)
    if proto.data_location == TensorProto.EXTERNAL:
        _place(proto, files, expected)
    elif proto.HasField("raw_data"):
        if len(proto.raw_data) != expected:
            raise OnnxFileError(
                f"tensor {proto.name!r} of shape {shape_of(proto)} and type "
                f"{type_name(proto.data_type)} needs {expected:,} bytes and has "
                f"{len(proto.raw_data):,}"
            )
    else:
        _check_count(proto, _entries(proto))


def _entries(proto: TensorProto) -> int:
    """Return how many entries of its typed field the tensor takes."""
    count = math.prod(shape_of(proto))
    if proto.data_type in (TensorProto.COMPLEX64, TensorProto.COMPLEX128):
        return 2 * count
    # Elements of less than a byte are packed into bytes, one byte per entry.
    return byte_count(proto) if proto.data_type in SUB_BYTE else count


def _check_count(proto: TensorProto, expected: int) -> None:
    field = next((f for f, types in _FIELDS.items() if proto.data_type in types), "int32_data")
    have = len(getattr(proto, field))
    if have != expected:
        raise OnnxFileError(
            f"tensor {proto.name!r} of shape {shape_of(proto)} and type "
            f"{type_name(proto.data_type)} needs {expected:,} entries in {field} and has {have:,}"
        )
    if field == "int32_data" and have:
        low, high = _entry_range(proto.data_type)
        entries = np.fromiter(proto.int32_data, np.int64, have)
        if entries.min() < low or entries.max() > high:
            raise OnnxFileError(
                f"tensor {proto.name!r} has entries beyond {type_name(proto.data_type)}"
            )


def _entry_range(data_type: int) -> tuple[int, int]:
    """Return the range of an entry of int32_data: integers of the type, or bits of another type."""
    dtype = TORCH_DTYPES.get(data_type, torch.uint8)
    if dtype.is_floating_point or dtype is torch.bool or data_type in SUB_BYTE:
        return (-(1 << 8 * dtype.itemsize - 1), (1 << 8 * dtype.itemsize) - 1)
    return torch.iinfo(dtype).min, torch.iinfo(dtype).max


def _place(proto: TensorProto, files: MappedFiles, expected: int) -> tuple[str, int]:
    """Return file and offset of an external tensor. Raises OnnxFileError if out of bounds."""
    span = span_of(proto)
    file = files.get(span.location)
    if file is None:
        raise OnnxFileError(f"weight {proto.name!r} is external; read the model from its path")
    if span.length is not None and span.length != expected:
        raise OnnxFileError(
            f"weight {proto.name!r} of shape {shape_of(proto)} and type "
            f"{type_name(proto.data_type)} needs {expected:,} bytes, its entry says {span.length:,}"
        )
    if span.offset + expected > file.size:
        raise OnnxFileError(
            f"weight {proto.name!r} ends at byte {span.offset + expected:,} of {file.path.name}, "
            f"which has {file.size:,}"
        )
    return span.location, span.offset


def tensor_of(proto: TensorProto, files: MappedFiles) -> Tensor:
    """Return the tensor's value; external bytes stay in their file until they are read.

    Raises OnnxFileError if shape, type and data disagree, or if the elements are strings.
    """
    check_tensor(proto, files)
    if proto.data_type == TensorProto.STRING:
        raise OnnxFileError(f"tensor {proto.name!r} holds strings")
    shape = shape_of(proto)
    if proto.data_type in SUB_BYTE or (
        proto.data_location != TensorProto.EXTERNAL and not proto.HasField("raw_data")
    ):
        return _by_numpy(proto, files).reshape(shape)
    dtype = TORCH_DTYPES[proto.data_type]
    if 0 in shape:
        return torch.empty(shape, dtype=dtype)
    raw = _raw(proto, files, dtype.itemsize)
    # A byte other than 0 and 1 is no bool to torch; it is true.
    return (raw != 0 if dtype is torch.bool else raw.view(dtype)).reshape(shape)


def _raw(proto: TensorProto, files: MappedFiles, element: int) -> Tensor:
    """Return the tensor's bytes, as one row."""
    if proto.data_location == TensorProto.EXTERNAL:
        length = byte_count(proto)
        location, offset = _place(proto, files, length)
        return read_span(files[location], offset, length, element)
    return torch.from_numpy(np.frombuffer(proto.raw_data, np.uint8).copy())


def _by_numpy(proto: TensorProto, files: MappedFiles) -> Tensor:
    """Read typed fields and packed elements by onnx's own reader."""
    whole = TensorProto()
    whole.CopyFrom(proto)
    if proto.data_location == TensorProto.EXTERNAL:
        whole.raw_data = bytes(_raw(proto, files, 1).numpy())
        whole.data_location = TensorProto.DEFAULT
    try:
        array = numpy_helper.to_array(whole)
    except (ValueError, TypeError, OverflowError) as error:
        raise OnnxFileError(f"tensor {proto.name!r} cannot be read: {error}") from error
    if proto.data_type in SUB_BYTE:
        wide = SUB_BYTE[proto.data_type][1]
        return torch.from_numpy(array.astype(np.dtype(str(wide).removeprefix("torch."))))
    dtype = TORCH_DTYPES[proto.data_type]
    return torch.from_numpy(np.ascontiguousarray(array).reshape(-1).view(np.uint8)).view(dtype)
