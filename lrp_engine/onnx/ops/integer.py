"""Products of quantised values, and onnxruntime's ops on them: dequantised when they are imported.

The sums are those of the integers, in floating point: exact up to 2^24.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..op_table import Node, op
from ..unsupported import Refused
from ..values import Host, Value, as_tensor
from .common import part
from .quantised import (
    as_float,
    codes,
    dtype_of_codes,
    dynamic_quantize,
    shifted,
)

MICROSOFT = "com.microsoft"


def real(x: Value, scale: Tensor, zero: Value | None) -> Tensor:
    """The value that codes stand for."""
    return shifted(x, zero) * _number(scale)


def coded(y: Tensor, scale: Tensor, zero: Value | None) -> Tensor:
    """The codes of a value."""
    return codes(y, _number(scale), _scalar(zero), dtype_of_codes(zero))


def _number(scale: Tensor) -> Tensor:
    return scale.reshape(()) if scale.numel() == 1 else scale


def _scalar(zero: Value | None) -> Value | None:
    """Zero points are stored as one entry of one axis, too."""
    if zero is None or isinstance(zero, tuple):
        return None
    single = zero.array.size == 1 if isinstance(zero, Host) else zero.numel() == 1
    if not single:
        raise Refused("an output quantised by channels is not supported")
    return as_tensor(zero).reshape(())


def _by_channel(v: Tensor, dims: int) -> Tensor:
    """Parameters of a convolution's output channels, beside its output."""
    return _number(v) if v.numel() == 1 else v.reshape(-1, *[1] * (dims - 2))


def _weight(w: Value, zero: Value | None) -> Tensor:
    """A convolution's weight less its zero point, which is one number or one per channel."""
    weight = as_float(w)
    if zero is None:
        return weight
    z = as_float(zero, weight.dtype)
    return weight - (z.reshape(()) if z.numel() == 1 else z.reshape(-1, *[1] * (weight.dim() - 1)))


def _columns(zero: Value | None, rows: bool = False) -> Value | None:
    """Zero points of a matrix: one number, or one per column (or row)."""
    if zero is None:
        return None
    z = as_tensor(zero)
    if z.numel() == 1:
        return z.reshape(())
    return z.unsqueeze(-1) if rows and z.dim() == 1 else z


@op("QLinearConv", since=10)
def qlinear_conv(
    x: Value,
    x_scale: Tensor,
    x_zero_point: Value,
    w: Value,
    w_scale: Tensor,
    w_zero_point: Value,
    y_scale: Tensor,
    y_zero_point: Value,
    b: Tensor | None = None,
    *,
    node: Node,
    auto_pad: str | None = None,
    dilations: tuple[int, ...] | None = None,
    group: int | None = None,
    kernel_shape: tuple[int, ...] | None = None,
    pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
) -> Tensor:
    weight = _weight(w, w_zero_point)
    bias = None if b is None else b.to(weight.dtype)
    total = part(
        node, "Conv", shifted(x, x_zero_point), weight, bias,
        auto_pad=auto_pad, dilations=dilations, group=group, kernel_shape=kernel_shape,
        pads=pads, strides=strides,
    )  # fmt: skip
    scale = _by_channel(_number(x_scale) * w_scale, weight.dim())
    return coded(total * scale, y_scale, y_zero_point)


@op("ConvInteger", since=10)
def conv_integer(
    x: Value,
    w: Value,
    x_zero_point: Value | None = None,
    w_zero_point: Value | None = None,
    *,
    node: Node,
    auto_pad: str | None = None,
    dilations: tuple[int, ...] | None = None,
    group: int | None = None,
    kernel_shape: tuple[int, ...] | None = None,
    pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
) -> Tensor:
    return part(
        node, "Conv", shifted(x, x_zero_point), _weight(w, w_zero_point),
        auto_pad=auto_pad, dilations=dilations, group=group, kernel_shape=kernel_shape,
        pads=pads, strides=strides,
    )  # fmt: skip


@op("QLinearMatMul", since=10)
def qlinear_matmul(
    a: Value,
    a_scale: Tensor,
    a_zero_point: Value,
    b: Value,
    b_scale: Tensor,
    b_zero_point: Value,
    y_scale: Tensor,
    y_zero_point: Value,
) -> Tensor:
    total = _product(a, b, a_zero_point, b_zero_point)
    scale = _rows(a_scale) * _number(b_scale)
    return coded(total * scale, y_scale, y_zero_point)


def _rows(scale: Tensor) -> Tensor:
    return _number(scale) if scale.numel() == 1 or scale.dim() > 1 else scale.unsqueeze(-1)


def _product(a: Value, b: Value, a_zero: Value | None, b_zero: Value | None) -> Tensor:
    left, right = shifted(a, _columns(a_zero, rows=True)), shifted(b, _columns(b_zero))
    return torch.matmul(left, right)


@op("MatMulInteger", since=10)
def matmul_integer(
    a: Value, b: Value, a_zero_point: Value | None = None, b_zero_point: Value | None = None
) -> Tensor:
    return _product(a, b, a_zero_point, b_zero_point)


@op("MatMulIntegerToFloat", domain=MICROSOFT)
def matmul_integer_to_float(
    a: Value,
    b: Value,
    a_scale: Tensor,
    b_scale: Tensor,
    a_zero_point: Value | None = None,
    b_zero_point: Value | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    y = _product(a, b, a_zero_point, b_zero_point) * (_rows(a_scale) * _number(b_scale))
    return y if bias is None else y + bias


@op("DynamicQuantizeMatMul", domain=MICROSOFT)
def dynamic_quantize_matmul(
    a: Tensor,
    b: Value,
    b_scale: Tensor,
    b_zero_point: Value | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    (entry,) = dynamic_quantize
    q, scale, zero = entry.function(a)
    y = _product(q, b, zero, b_zero_point) * (scale * _number(b_scale))
    return y if bias is None else y + bias


@op("QGemm", domain=MICROSOFT)
def qgemm(
    a: Value,
    a_scale: Tensor,
    a_zero_point: Value,
    b: Value,
    b_scale: Tensor,
    b_zero_point: Value,
    c: Tensor | None = None,
    y_scale: Tensor | None = None,
    y_zero_point: Value | None = None,
    *,
    alpha: float = 1.0,
    transA: int = 0,
    transB: int = 0,
) -> Tensor:
    """alpha A B + C, where C has the scale of the product; quantised if y has a scale."""
    left, right = shifted(a, _columns(a_zero_point)), as_float(b)
    right = shifted(right.t() if transB else right, _columns(b_zero_point))
    total = torch.matmul(left.t() if transA else left, right)
    total = total if c is None else total + c.to(total.dtype)
    y = total * (_number(a_scale) * _number(b_scale) * alpha)
    return y if y_scale is None else coded(y, y_scale, y_zero_point)


@op("QLinearAdd", domain=MICROSOFT)
def qlinear_add(
    a: Value, a_scale: Tensor, a_zero_point: Value | None, b: Value, b_scale: Tensor,
    b_zero_point: Value | None, c_scale: Tensor, c_zero_point: Value | None = None,
) -> Tensor:  # fmt: skip
    y = real(a, a_scale, _scalar(a_zero_point)) + real(b, b_scale, _scalar(b_zero_point))
    return coded(y, c_scale, c_zero_point)


@op("QLinearMul", domain=MICROSOFT)
def qlinear_mul(
    a: Value, a_scale: Tensor, a_zero_point: Value | None, b: Value, b_scale: Tensor,
    b_zero_point: Value | None, c_scale: Tensor, c_zero_point: Value | None = None,
) -> Tensor:  # fmt: skip
    y = real(a, a_scale, _scalar(a_zero_point)) * real(b, b_scale, _scalar(b_zero_point))
    return coded(y, c_scale, c_zero_point)


@op("QLinearSigmoid", domain=MICROSOFT)
def qlinear_sigmoid(
    x: Value, x_scale: Tensor, x_zero_point: Value | None, y_scale: Tensor,
    y_zero_point: Value | None = None,
) -> Tensor:  # fmt: skip
    y = torch.sigmoid(real(x, x_scale, _scalar(x_zero_point)))
    return coded(y, y_scale, y_zero_point)


@op("QLinearLeakyRelu", domain=MICROSOFT)
def qlinear_leaky_relu(
    x: Value, x_scale: Tensor, x_zero_point: Value | None, y_scale: Tensor,
    y_zero_point: Value | None = None, *, alpha: float = 0.01,
) -> Tensor:  # fmt: skip
    y = F.leaky_relu(real(x, x_scale, _scalar(x_zero_point)), alpha)
    return coded(y, y_scale, y_zero_point)


@op("QLinearSoftmax", domain=MICROSOFT)
def qlinear_softmax(
    x: Value, x_scale: Tensor, x_zero_point: Value | None, y_scale: Tensor,
    y_zero_point: Value | None = None, *, node: Node, opset: int, axis: int = -1,
) -> Tensor:  # fmt: skip
    logits = real(x, x_scale, _scalar(x_zero_point))
    return coded(part(node, "Softmax", logits, opset=opset, axis=axis), y_scale, y_zero_point)


@op("QLinearGlobalAveragePool", domain=MICROSOFT)
def qlinear_global_average_pool(
    x: Value, x_scale: Tensor, x_zero_point: Value | None, y_scale: Tensor,
    y_zero_point: Value | None = None, *, node: Node, channels_last: int = 0,
) -> Tensor:  # fmt: skip
    if channels_last:
        raise Refused("channels_last is not supported")
    y = part(node, "GlobalAveragePool", real(x, x_scale, _scalar(x_zero_point)))
    return coded(y, y_scale, y_zero_point)


@op("QLinearAveragePool", domain=MICROSOFT)
def qlinear_average_pool(
    x: Value, x_scale: Tensor, x_zero_point: Value | None, y_scale: Tensor,
    y_zero_point: Value | None = None, *, node: Node, kernel_shape: tuple[int, ...],
    channels_last: int = 0, auto_pad: str | None = None, ceil_mode: int | None = None,
    count_include_pad: int | None = None, pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
) -> Tensor:  # fmt: skip
    if channels_last:
        raise Refused("channels_last is not supported")
    y = part(
        node, "AveragePool", real(x, x_scale, _scalar(x_zero_point)), kernel_shape=kernel_shape,
        auto_pad=auto_pad, ceil_mode=ceil_mode, count_include_pad=count_include_pad, pads=pads,
        strides=strides,
    )  # fmt: skip
    return coded(y, y_scale, y_zero_point)


@op("QLinearConcat", domain=MICROSOFT)
def qlinear_concat(*values: Value, axis: int) -> Tensor:
    """Output scale and zero point, then code, scale and zero point of every operand."""
    scale, zero, *rest = values
    triples: list[Any] = [rest[i : i + 3] for i in range(0, len(rest), 3)]
    parts = [real(x, as_tensor(s), _scalar(z)) for x, s, z in triples]
    return coded(torch.cat(parts, axis), as_tensor(scale), zero)
