"""Quantised values: integers are carried as floats, and relevance passes rounding unchanged.

An integer tensor could carry no relevance. So the codes that QuantizeLinear makes stay in a float
tensor (exact up to 2^24), and rounding is written as x + constant: the coefficient passes as it is,
and the ledger books what was added or taken as `rounding`. Codes that were cut off at the ends of
their range pass nothing, like a clipped activation. Scales and zero points are constants.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..op_table import op
from ..tensors import SUB_BYTE
from ..unsupported import Refused
from ..values import (
    HostArray,
    OnnxValue,
    as_tensor,
    dtype_of,
)

MICROSOFT = "com.microsoft"
_FLOAT8 = (
    torch.float8_e4m3fn,
    torch.float8_e4m3fnuz,
    torch.float8_e5m2,
    torch.float8_e5m2fnuz,
)


def round_straight_through(x: Tensor) -> Tensor:
    """Round to the nearest whole number, ties to even, with the gradient of the identity.

    x + (round(x) - x) is exact below 2^23.
    """
    return x + (torch.round(x) - x).detach()


@dataclass(frozen=True)
class CodeRange:
    """The least and the largest code of an integer type."""

    min: int
    max: int

    @classmethod
    def of(cls, dtype: torch.dtype) -> CodeRange:
        """Return the range of a torch type."""
        return cls(torch.iinfo(dtype).min, torch.iinfo(dtype).max)

    @classmethod
    def of_bits(cls, bits: int, signed: bool) -> CodeRange:
        """Return the range of a type of so many bits."""
        low = -(1 << (bits - 1)) if signed else 0
        return cls(low, low + (1 << bits) - 1)


def quantise_to(x: Tensor, scale: Tensor, zero: OnnxValue | None, ends: CodeRange) -> Tensor:
    """Return round(x / scale) + zero, cut off at the ends of the range of codes."""
    if zero is None or is_zero(zero):
        return round_straight_through(torch.clamp(x / scale, ends.min, ends.max))
    # Cut off first, widely, because a mask may be infinite; then exactly, with the zero point.
    steps = torch.clamp(x / scale, 2 * ends.min - ends.max, 2 * ends.max - ends.min)
    return torch.clamp(round_straight_through(steps) + as_float(zero, x.dtype), ends.min, ends.max)


def as_float(value: OnnxValue, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return codes as floats: those that are computed here already are."""
    tensor = as_tensor(value)
    return (
        tensor if tensor.is_floating_point() and tensor.dtype not in _FLOAT8 else tensor.to(dtype)
    )


def subtract_zero_point(
    value: OnnxValue, zero: OnnxValue | None, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Return codes less their zero point, as floats."""
    x = as_float(value, dtype)
    return x if zero is None or is_zero(zero) else x - as_float(zero, x.dtype)


def check_finite_scale(scale: OnnxValue) -> Tensor:
    """Return a scale as a tensor. Raises Refused for one that is known to be infinite."""
    if isinstance(scale, HostArray) and scale.concrete and not np.isfinite(scale.array).all():
        raise Refused(
            "its scale is infinite: the model was calibrated on infinite values, such as a mask"
        )
    return as_tensor(scale)


def is_zero(zero: OnnxValue) -> bool:
    """Tell whether a zero point is known to be 0 everywhere."""
    return isinstance(zero, HostArray) and zero.concrete and not zero.array.any()


def broadcast_parameters(v: Tensor, x: Tensor, axis: int, block: int = 0) -> Tensor:
    """Shape parameters so that they broadcast over x.

    Args:
        v: One parameter, one per slice of `axis`, or one per block along it.
        x: The tensor that is quantised.
        axis: The axis of the parameters.
        block: The entries per block; 0 without blocks.
    """
    if block:
        return v.repeat_interleave(block, axis).narrow(axis, 0, x.shape[axis])
    if v.dim() == 0 or v.numel() == 1:
        return v.reshape(())
    if v.dim() > 1:
        raise Refused("quantisation parameters of this shape are not supported")
    return v.reshape([-1 if i == axis % x.dim() else 1 for i in range(x.dim())])


def broadcast_zero_point(
    zero: OnnxValue | None, x: Tensor, axis: int, block: int = 0
) -> OnnxValue | None:
    """Shape zero points so that they broadcast over x; None if they are 0 or left out."""
    if zero is None or is_zero(zero):
        return None
    return broadcast_parameters(as_tensor(zero), x, axis, block)


def dtype_of_codes(zero: OnnxValue | None, output_dtype: int = 0) -> torch.dtype:
    """Return the integer type that a zero point or an attribute names; uint8 if neither does."""
    if output_dtype:
        return dtype_of(output_dtype)
    if zero is None:
        return torch.uint8
    dtype = zero.dtype if isinstance(zero, HostArray) else as_tensor(zero).dtype
    # Zero points that are computed are those of DynamicQuantizeLinear, which are uint8.
    return dtype if not dtype.is_floating_point or dtype in _FLOAT8 else torch.uint8


def _quantised(
    x: Tensor, factors: OnnxValue, zero: OnnxValue | None, axis: int, block: int, output_dtype: int
) -> Tensor:
    scale = check_finite_scale(factors)
    bits, holder = SUB_BYTE.get(output_dtype, (0, torch.float32))
    dtype = holder if bits else dtype_of_codes(zero, output_dtype)
    x = x if x.is_floating_point() else x.to(scale.dtype)
    factor = broadcast_parameters(scale, x, axis, block).to(x.dtype)
    if dtype in _FLOAT8:
        ends = torch.finfo(dtype)
        return torch.clamp(x / factor, ends.min, ends.max).to(dtype).to(x.dtype)
    if dtype.is_floating_point:
        raise Refused(f"quantisation to {dtype} is not supported")
    codes = CodeRange.of_bits(bits, dtype.is_signed) if bits else CodeRange.of(dtype)
    return quantise_to(x, factor, broadcast_zero_point(zero, x, axis, block), codes)


@op("QuantizeLinear", since=10)
def quantize(
    x: Tensor,
    y_scale: OnnxValue,
    y_zero_point: OnnxValue | None = None,
    *,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: int = 0,
    saturate: int = 1,
    precision: int = 0,
) -> Tensor:
    """Quantise to codes, per tensor, per axis or per block."""
    if not saturate:
        raise Refused("casting to 8-bit floats without saturation is not supported")
    return _quantised(x, y_scale, y_zero_point, axis, block_size, output_dtype)


@op("QuantizeLinear", domain=MICROSOFT)
def quantize_microsoft(
    x: Tensor, y_scale: OnnxValue, y_zero_point: OnnxValue | None = None, *, axis: int = 1
) -> Tensor:
    """Quantise to codes, per tensor or per axis."""
    return _quantised(x, y_scale, y_zero_point, axis, 0, 0)


def _dequantised(
    x: OnnxValue, factors: OnnxValue, zero: OnnxValue | None, axis: int, block: int
) -> Tensor:
    scale = check_finite_scale(factors)
    q = as_float(x, scale.dtype)
    return subtract_zero_point(
        q, broadcast_zero_point(zero, q, axis, block)
    ) * broadcast_parameters(scale, q, axis, block)


@op("DequantizeLinear", since=10)
def dequantize(
    x: OnnxValue,
    x_scale: OnnxValue,
    x_zero_point: OnnxValue | None = None,
    *,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: int = 0,
) -> Tensor:
    """Dequantise codes, per tensor, per axis or per block."""
    y = _dequantised(x, x_scale, x_zero_point, axis, block_size)
    return y.to(dtype_of(output_dtype) if output_dtype else as_tensor(x_scale).dtype)


@op("DequantizeLinear", domain=MICROSOFT)
def dequantize_microsoft(
    x: OnnxValue, x_scale: OnnxValue, x_zero_point: OnnxValue | None = None, *, axis: int = 1
) -> Tensor:
    """Dequantise codes, per tensor or per axis."""
    return _dequantised(x, x_scale, x_zero_point, axis, 0)


@op("DynamicQuantizeLinear", since=11)
def dynamic_quantize(x: Tensor) -> list[Tensor]:
    """Quantise to x's own range; return codes, scale and zero point."""
    return list(quantise_dynamically(x))


def quantise_dynamically(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Quantise to codes from 0 to 255 of x's own range.

    Returns:
        Codes of x's shape, and scale and zero point, which are taken for constants.
    """
    low, high = torch.clamp_max(x.amin(), 0.0), torch.clamp_min(x.amax(), 0.0)
    scale = (high - low) / 255
    scale = torch.where(scale == 0, torch.ones_like(scale), scale)
    zero = torch.clamp(torch.round(0.0 - low / scale), 0, 255)
    return quantise_to(x, scale, zero, CodeRange.of(torch.uint8)), scale, zero
