"""Write quantisers of other libraries as plain ops: torchao's, and those of exported nets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, fx
from torch._ops import OpOverload
from torch.fx.node import Argument

from ..capture import Captured
from ..graphs.decomposition import Traces, is_composite, write_parts
from ..graphs.nodes import is_getitem, part_of
from ..method.registry import Registry
from .rewriting import Copies, rewrite

Recipe = Callable[..., Any]


def quantise(x: Tensor, scale: Any, zero: Any, low: int, high: int, dtype: torch.dtype) -> Tensor:
    """Return the codes clamp(round(x / scale) + zero, low, high) of a tensor of any shape."""
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    return torch.clamp(torch.round(x * (1.0 / scale)) + zero, low, high).to(dtype)


def dequantise(
    codes: Tensor,
    scale: Any,
    zero: Any,
    low: int,
    high: int,
    dtype: torch.dtype,
    *,
    out_dtype: torch.dtype | None = None,
) -> Tensor:
    """Return (codes - zero) * scale."""
    values: Tensor = (codes.to(out_dtype or torch.float32) - zero) * scale
    return values


def quantise_channels(
    x: Tensor, scales: Tensor, zeros: Tensor, axis: int, low: int, high: int, dtype: torch.dtype
) -> Tensor:
    """Return codes with a scale and zero point for each entry of an axis."""
    shape = _along(axis, x)
    return quantise(x, scales.view(shape), zeros.view(shape), low, high, dtype)


def dequantise_channels(
    codes: Tensor,
    scales: Tensor,
    zeros: Tensor | None,
    axis: int,
    low: int,
    high: int,
    dtype: torch.dtype,
    *,
    out_dtype: torch.dtype | None = None,
) -> Tensor:
    """Return what `quantise_channels` gave codes for."""
    shape = _along(axis, codes)
    steps = codes if zeros is None else codes - zeros.view(shape)
    return (steps * scales.view(shape)).to(out_dtype or torch.float32)


def measure_rows(x: Tensor, dtype: torch.dtype) -> list[Tensor]:
    """Return scale and zero point of each row, by its largest entry."""
    scales = x.abs().amax(dim=-1, keepdim=True).clamp(min=1e-5).div(127)
    return [scales, torch.zeros_like(scales)]


def quantise_rows(
    x: Tensor, scales: Tensor, zeros: Tensor, low: int, high: int, dtype: torch.dtype
) -> Tensor:
    """Return codes with a scale and zero point for each row."""
    return x.mul(1.0 / scales).add(zeros).round().clamp(low, high).to(dtype)


def dequantise_rows(
    codes: Tensor,
    scales: Tensor,
    zeros: Tensor,
    low: int,
    high: int,
    dtype: torch.dtype,
    output_dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Return what `quantise_rows` gave codes for."""
    return ((codes - zeros) * scales).to(output_dtype)


def _along(axis: int, x: Tensor) -> list[int]:
    return [-1 if i == axis % x.dim() else 1 for i in range(x.dim())]


# By name: the libraries register these ops when they are imported.
RECIPES: Mapping[str, Recipe] = {
    "quantized_decomposed.quantize_per_tensor.default": quantise,
    "quantized_decomposed.quantize_per_tensor.tensor": quantise,
    "quantized_decomposed.dequantize_per_tensor.default": dequantise,
    "quantized_decomposed.dequantize_per_tensor.tensor": dequantise,
    "quantized_decomposed.quantize_per_channel.default": quantise_channels,
    "quantized_decomposed.dequantize_per_channel.default": dequantise_channels,
    "quantized_decomposed.choose_qparams_per_token.default": measure_rows,
    "quantized_decomposed.quantize_per_token.default": quantise_rows,
    "quantized_decomposed.dequantize_per_token.default": dequantise_rows,
}
_COMPOSITE = "torchao"


def open_quantisers(captured: Captured, registry: Registry) -> Captured:
    """Write every quantiser that has no record as the plain ops that it consists of.

    Requires functional ops. Ensures that codes come from rounding ops and casts that are seen.
    """
    traces: Traces = {}
    inexact: set[str] = set()

    def parts(node: fx.Node, graph: fx.Graph, copies: Copies) -> Argument:
        if is_getitem(node):
            producer, index = part_of(node)
            parts_of_producer = copies[producer]
            return parts_of_producer[index] if isinstance(parts_of_producer, list) else None
        recipe = _recipe_of(node, registry)
        if recipe is None:
            return None
        if not is_composite(node.target):
            inexact.add(str(node.target))
        written: Argument = write_parts(node, recipe, graph, copies, traces)
        return written

    opened = rewrite(captured, parts).captured
    return replace(opened, taken_apart=tuple(sorted({*opened.taken_apart, *inexact})))


def _recipe_of(node: fx.Node, registry: Registry) -> Recipe | None:
    op = node.target
    if not isinstance(op, OpOverload) or registry.ops.get(op):
        return None
    if op.namespace == _COMPOSITE and is_composite(op):
        return op.decompose
    return RECIPES.get(str(op))
