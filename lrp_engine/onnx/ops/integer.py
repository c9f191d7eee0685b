"""Products of quantised values, and onnxruntime's ops on them: dequantised when they are imported.

The sums are those of the integers, in floating point: exact up to 2^24.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..op_table import NodeContext, op
from ..unsupported import Refused
from ..values import HostArray, OnnxValue, as_tensor
from .common import run_op
from .quantised import (
    CodeRange,
    as_float,
    dtype_of_codes,
    quantise_dynamically,
    quantise_to,
    subtract_zero_point,
)

MICROSOFT = "com.microsoft"


def dequantise_codes(x: OnnxValue, scale: Tensor, zero: OnnxValue | None) -> Tensor:
    """Return the value that codes stand for."""
    return subtract_zero_point(x, zero) * _number(scale)


def requantise(y: Tensor, scale: Tensor, zero: OnnxValue | None) -> Tensor:
    """Return the codes of a value."""
    return quantise_to(y, _number(scale), _scalar(zero), CodeRange.of(dtype_of_codes(zero)))


def _number(scale: Tensor) -> Tensor:
    return scale.reshape(()) if scale.numel() == 1 else scale


def _scalar(zero: OnnxValue | None) -> OnnxValue | None:
    """Return a zero point as a number: some files store one entry on one axis."""
    if zero is None or isinstance(zero, tuple):
        return None
    single = zero.array.size == 1 if isinstance(zero, HostArray) else zero.numel() == 1
    if not single:
        raise Refused("an output quantised by channels is not supported")
    return as_tensor(zero).reshape(())


def _by_channel(v: Tensor, dims: int) -> Tensor:
    """Shape parameters of output channels so that they broadcast over a convolution's output."""
    return _number(v) if v.numel() == 1 else v.reshape(-1, *[1] * (dims - 2))


def _weight(w: OnnxValue, zero: OnnxValue | None) -> Tensor:
    """Return a convolution's weight less its zero point: one number or one per channel."""
    weight = as_float(w)
    if zero is None:
        return weight
    z = as_float(zero, weight.dtype)
    return weight - (z.reshape(()) if z.numel() == 1 else z.reshape(-1, *[1] * (weight.dim() - 1)))


def _columns(zero: OnnxValue | None, rows: bool = False) -> OnnxValue | None:
    """Return zero points of a matrix: one number, or one per column (or row)."""
    if zero is None:
        return None
    z = as_tensor(zero)
    if z.numel() == 1:
        return z.reshape(())
    return z.unsqueeze(-1) if rows and z.dim() == 1 else z


@op("QLinearConv", since=10)
def qlinear_conv(
    x: OnnxValue,
    x_scale: Tensor,
    x_zero_point: OnnxValue,
    w: OnnxValue,
    w_scale: Tensor,
    w_zero_point: OnnxValue,
    y_scale: Tensor,
    y_zero_point: OnnxValue,
    b: Tensor | None = None,
    *,
    node: NodeContext,
    auto_pad: str | None = None,
    dilations: tuple[int, ...] | None = None,
    group: int | None = None,
    kernel_shape: tuple[int, ...] | None = None,
    pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
) -> Tensor:
    """Convolve dequantised codes and quantise the result."""
    weight = _weight(w, w_zero_point)
    bias = None if b is None else b.to(weight.dtype)
    total = run_op(
        node, "Conv", subtract_zero_point(x, x_zero_point), weight, bias,
        auto_pad=auto_pad, dilations=dilations, group=group, kernel_shape=kernel_shape,
        pads=pads, strides=strides,
    )  # fmt: skip
    scale = _by_channel(_number(x_scale) * w_scale, weight.dim())
    return requantise(total * scale, y_scale, y_zero_point)


@op("ConvInteger", since=10)
def conv_integer(
    x: OnnxValue,
    w: OnnxValue,
    x_zero_point: OnnxValue | None = None,
    w_zero_point: OnnxValue | None = None,
    *,
    node: NodeContext,
    auto_pad: str | None = None,
    dilations: tuple[int, ...] | None = None,
    group: int | None = None,
    kernel_shape: tuple[int, ...] | None = None,
    pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
) -> Tensor:
    """Convolve codes less their zero points."""
    return run_op(
        node, "Conv", subtract_zero_point(x, x_zero_point), _weight(w, w_zero_point),
        auto_pad=auto_pad, dilations=dilations, group=group, kernel_shape=kernel_shape,
        pads=pads, strides=strides,
    )  # fmt: skip


@op("QLinearMatMul", since=10)
def qlinear_matmul(
    a: OnnxValue,
    a_scale: Tensor,
    a_zero_point: OnnxValue,
    b: OnnxValue,
    b_scale: Tensor,
    b_zero_point: OnnxValue,
    y_scale: Tensor,
    y_zero_point: OnnxValue,
) -> Tensor:
    """Multiply dequantised matrices and quantise the result."""
    total = _product(a, b, a_zero_point, b_zero_point)
    scale = _rows(a_scale) * _number(b_scale)
    return requantise(total * scale, y_scale, y_zero_point)


def _rows(scale: Tensor) -> Tensor:
    return _number(scale) if scale.numel() == 1 or scale.dim() > 1 else scale.unsqueeze(-1)


def _product(
    a: OnnxValue, b: OnnxValue, a_zero: OnnxValue | None, b_zero: OnnxValue | None
) -> Tensor:
    left, right = (
        subtract_zero_point(a, _columns(a_zero, rows=True)),
        subtract_zero_point(b, _columns(b_zero)),
    )
    return torch.matmul(left, right)


@op("MatMulInteger", since=10)
def matmul_integer(
    a: OnnxValue,
    b: OnnxValue,
    a_zero_point: OnnxValue | None = None,
    b_zero_point: OnnxValue | None = None,
) -> Tensor:
    """Multiply matrices of codes less their zero points."""
    return _product(a, b, a_zero_point, b_zero_point)


@op("MatMulIntegerToFloat", domain=MICROSOFT)
def matmul_integer_to_float(
    a: OnnxValue,
    b: OnnxValue,
    a_scale: Tensor,
    b_scale: Tensor,
    a_zero_point: OnnxValue | None = None,
    b_zero_point: OnnxValue | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    """Multiply matrices of codes and scale the product."""
    y = _product(a, b, a_zero_point, b_zero_point) * (_rows(a_scale) * _number(b_scale))
    return y if bias is None else y + bias


@op("DynamicQuantizeMatMul", domain=MICROSOFT)
def dynamic_quantize_matmul(
    a: Tensor,
    b: OnnxValue,
    b_scale: Tensor,
    b_zero_point: OnnxValue | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    """Quantise a to its own range, multiply, and scale the product."""
    q, scale, zero = quantise_dynamically(a)
    y = _product(q, b, zero, b_zero_point) * (scale * _number(b_scale))
    return y if bias is None else y + bias


@op("QGemm", domain=MICROSOFT)
def qgemm(
    a: OnnxValue,
    a_scale: Tensor,
    a_zero_point: OnnxValue,
    b: OnnxValue,
    b_scale: Tensor,
    b_zero_point: OnnxValue,
    c: Tensor | None = None,
    y_scale: Tensor | None = None,
    y_zero_point: OnnxValue | None = None,
    *,
    alpha: float = 1.0,
    transA: int = 0,
    transB: int = 0,
) -> Tensor:
    """Return alpha A B + C, where C has the scale of the product; quantise if y has a scale."""
    left, right = subtract_zero_point(a, _columns(a_zero_point)), as_float(b)
    right = subtract_zero_point(right.t() if transB else right, _columns(b_zero_point))
    total = torch.matmul(left.t() if transA else left, right)
    total = total if c is None else total + c.to(total.dtype)
    y = total * (_number(a_scale) * _number(b_scale) * alpha)
    return y if y_scale is None else requantise(y, y_scale, y_zero_point)


@op("QLinearAdd", domain=MICROSOFT)
def qlinear_add(
    a: OnnxValue, a_scale: Tensor, a_zero_point: OnnxValue | None, b: OnnxValue, b_scale: Tensor,
    b_zero_point: OnnxValue | None, c_scale: Tensor, c_zero_point: OnnxValue | None = None,
) -> Tensor:  # fmt: skip
    """Add dequantised operands and quantise the sum."""
    y = dequantise_codes(a, a_scale, _scalar(a_zero_point)) + dequantise_codes(
        b, b_scale, _scalar(b_zero_point)
    )
    return requantise(y, c_scale, c_zero_point)


@op("QLinearMul", domain=MICROSOFT)
def qlinear_mul(
    a: OnnxValue, a_scale: Tensor, a_zero_point: OnnxValue | None, b: OnnxValue, b_scale: Tensor,
    b_zero_point: OnnxValue | None, c_scale: Tensor, c_zero_point: OnnxValue | None = None,
) -> Tensor:  # fmt: skip
    """Multiply dequantised operands and quantise the product."""
    y = dequantise_codes(a, a_scale, _scalar(a_zero_point)) * dequantise_codes(
        b, b_scale, _scalar(b_zero_point)
    )
    return requantise(y, c_scale, c_zero_point)


@op("QLinearSigmoid", domain=MICROSOFT)
def qlinear_sigmoid(
    x: OnnxValue, x_scale: Tensor, x_zero_point: OnnxValue | None, y_scale: Tensor,
    y_zero_point: OnnxValue | None = None,
) -> Tensor:  # fmt: skip
    """Quantise the sigmoid of a dequantised operand."""
    y = torch.sigmoid(dequantise_codes(x, x_scale, _scalar(x_zero_point)))
    return requantise(y, y_scale, y_zero_point)


@op("QLinearLeakyRelu", domain=MICROSOFT)
def qlinear_leaky_relu(
    x: OnnxValue, x_scale: Tensor, x_zero_point: OnnxValue | None, y_scale: Tensor,
    y_zero_point: OnnxValue | None = None, *, alpha: float = 0.01,
) -> Tensor:  # fmt: skip
    """Quantise the leaky ReLU of a dequantised operand."""
    y = F.leaky_relu(dequantise_codes(x, x_scale, _scalar(x_zero_point)), alpha)
    return requantise(y, y_scale, y_zero_point)


@op("QLinearSoftmax", domain=MICROSOFT)
def qlinear_softmax(
    x: OnnxValue, x_scale: Tensor, x_zero_point: OnnxValue | None, y_scale: Tensor,
    y_zero_point: OnnxValue | None = None, *, node: NodeContext, opset: int, axis: int = -1,
) -> Tensor:  # fmt: skip
    """Quantise the softmax of a dequantised operand."""
    logits = dequantise_codes(x, x_scale, _scalar(x_zero_point))
    return requantise(
        run_op(node, "Softmax", logits, opset=opset, axis=axis), y_scale, y_zero_point
    )


@op("QLinearGlobalAveragePool", domain=MICROSOFT)
def qlinear_global_average_pool(
    x: OnnxValue, x_scale: Tensor, x_zero_point: OnnxValue | None, y_scale: Tensor,
    y_zero_point: OnnxValue | None = None, *, node: NodeContext, channels_last: int = 0,
) -> Tensor:  # fmt: skip
    """Quantise the mean over all axes behind the channels."""
    if channels_last:
        raise Refused("channels_last is not supported")
    y = run_op(node, "GlobalAveragePool", dequantise_codes(x, x_scale, _scalar(x_zero_point)))
    return requantise(y, y_scale, y_zero_point)


@op("QLinearAveragePool", domain=MICROSOFT)
def qlinear_average_pool(
    x: OnnxValue, x_scale: Tensor, x_zero_point: OnnxValue | None, y_scale: Tensor,
    y_zero_point: OnnxValue | None = None, *, node: NodeContext, kernel_shape: tuple[int, ...],
    channels_last: int = 0, auto_pad: str | None = None, ceil_mode: int | None = None,
    count_include_pad: int | None = None, pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
) -> Tensor:  # fmt: skip
    """Quantise the means of windows."""
    if channels_last:
        raise Refused("channels_last is not supported")
    y = run_op(
        node, "AveragePool", dequantise_codes(x, x_scale, _scalar(x_zero_point)),
        kernel_shape=kernel_shape, auto_pad=auto_pad, ceil_mode=ceil_mode,
        count_include_pad=count_include_pad, pads=pads, strides=strides,
    )  # fmt: skip
    return requantise(y, y_scale, y_zero_point)


@op("QLinearConcat", domain=MICROSOFT)
def qlinear_concat(*values: OnnxValue, axis: int) -> Tensor:
    """Concatenate codes.

    Args:
        values: Output scale and zero point, then code, scale and zero point of every operand.
        axis: The axis to concatenate along.
    """
    scale, zero, *rest = values
    triples = [rest[i : i + 3] for i in range(0, len(rest), 3)]
    parts = [dequantise_codes(x, as_tensor(s), _scalar(z)) for x, s, z in triples]
    if not -parts[0].dim() <= axis < parts[0].dim():
        raise Refused(f"axis {axis} is none of its operands' {parts[0].dim()}")
    return requantise(torch.cat(parts, axis), as_tensor(scale), zero)
