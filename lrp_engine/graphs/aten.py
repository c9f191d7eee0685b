"""Name the few ops that the machinery itself writes or sees through; all others are in `rules/`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, fx
from torch.fx.node import Argument, Target

from ..kernels import end_steps, run_steps

aten: torch._ops._OpNamespace = torch.ops.aten

ALIAS = torch.ops.aten.alias.default
CHECK_METADATA = torch.ops.aten._assert_tensor_metadata.default
DETACH = torch.ops.aten.detach.default
LIFTED = torch.ops.aten.lift_fresh_copy.default  # a tensor written in the model's code
TRANSPARENT = {DETACH, ALIAS}
SAME_STORAGE = TRANSPARENT | {torch.ops.aten._unsafe_view.default}  # views, though not declared so
DROPOUT = "dropout_p"  # the argument without which a random op is none
# Dropout that multiplies its operand by what it draws.
DROPOUTS = {torch.ops.aten.dropout.default, torch.ops.aten.feature_dropout.default}
ONES_LIKE = torch.ops.aten.ones_like.default
# A view fails on a tensor that lies otherwise than at capture; a reshape then copies.
_VIEW, _RESHAPE = torch.ops.aten.view.default, torch.ops.aten.reshape.default
RESHAPE_FOR_VIEW = {_VIEW: _RESHAPE}
# A batched tensor may lie in ways that even the result of a product never does.
RESHAPE_FOR_VIEWS = RESHAPE_FOR_VIEW | {torch.ops.aten._unsafe_view.default: _RESHAPE}
INDEX = torch.ops.aten.index.Tensor
SIZE = torch.ops.aten.sym_size.int
# What these make a Python number of depends on a tensor's entries; other numbers are its sizes.
READS_DATA = {torch.ops.aten._local_scalar_dense.default, torch.ops.aten.item.default}
SUM = torch.ops.aten.add.Tensor  # a + alpha * b
DIFFERENCE = torch.ops.aten.sub.Tensor
ZEROS_LIKE = torch.ops.aten.zeros_like.default
SUM_OF_PRODUCT = torch.ops.aten.addcmul.default  # a + value * x * y
PRODUCT = torch.ops.aten.mul.Tensor
JOIN = torch.ops.aten.cat.default
EINSUM = torch.ops.aten.einsum.default
SLICE_SCATTER = torch.ops.aten.slice_scatter.default
FLATTEN = torch.ops.aten.flatten.using_ints
# A product of more than two axes, as torch takes it apart: two axes made one, and again two.
FLATTENED_MATMUL = (_RESHAPE, torch.ops.aten.mm.default, torch.ops.aten._unsafe_view.default)
# By the number of axes along which they slide.
CONVOLUTIONS = {
    1: {torch.ops.aten.conv1d.default, torch.ops.aten.conv1d.padding},
    2: {torch.ops.aten.conv2d.default, torch.ops.aten.conv2d.padding},
}
AFFINE = {getattr(torch.ops.aten, name).default for name in ("linear", "addmm", "mm")}
EMBEDDING = torch.ops.aten.embedding.default
PERMUTE = torch.ops.aten.permute.default
TRANSPOSE = torch.ops.aten.transpose.int
# Fused attention as one kernel does it, and what each reads row by row.
_KERNELS = (
    "flash_attention",
    "flash_attention_for_cpu",
    "efficient_attention",
    "cudnn_attention",
    "fused_attention_overrideable",
)
ATTENTION_KERNELS = {
    getattr(torch.ops.aten, name).default
    for kernel in _KERNELS
    for name in (f"_scaled_dot_product_{kernel}", f"_scaled_dot_product_{kernel}_backward")
    if hasattr(torch.ops.aten, name)
}
ATTENTION_ROWS = ("query", "key", "value", "grad_out", "grad_out_", "out")
# Of their first argument they take over shape, strides, dtype and device, and nothing else.
FILLED = {ZEROS_LIKE, torch.ops.aten.new_zeros.default}
CAST = torch.ops.aten._to_copy.default
# They stand around the step of a recurrence (`lrp_engine/kernels/steps.py`).
RUN_STEPS, END_STEPS = run_steps.default, end_steps.default

_PLACED = torch.ops.aten.slice_backward.default  # a slice's adjoint: zeros around its argument

_BY_NUMBER = {
    PRODUCT: lambda k: k,
    torch.ops.aten.mul.Scalar: lambda k: k,
    torch.ops.aten.div.Tensor: lambda k: 1 / k,
    torch.ops.aten.div.Scalar: lambda k: 1 / k,
}


def split_factor(node: Argument, fits: Callable[[float], bool]) -> tuple[Argument, float]:
    """Return (x, k) with node = k * x for a number k > 0; (node, 1) if it is no such product.

    `fits`: whether a number may stand for k; one that does not stays in the graph.
    """
    factor = 1.0
    while isinstance(node, fx.Node) and node.target in _BY_NUMBER and len(node.args) == 2:
        x, k = node.args
        if not isinstance(k, (int, float)) or k <= 0 or not _same_dtype(node, x):
            break
        product = factor * _BY_NUMBER[node.target](k)
        if not fits(product):
            break
        factor, node = product, x
    return node, factor


def find_factors(node: fx.Node) -> tuple[fx.Node, fx.Node] | None:
    """Return the two tensors that a node multiplies; None if it is no such product."""
    if node.target is not PRODUCT or not all(isinstance(a, fx.Node) for a in node.args):
        return None
    return node.args  # type: ignore[return-value]


def find_joined_slices(a: fx.Node, b: fx.Node) -> tuple[tuple[fx.Node, fx.Node], int] | None:
    """Return ((first, second), axis) if a + b only joins two neighbouring slices, else None."""
    if not a.target is b.target is _PLACED or a.args[1:3] != b.args[1:3]:
        return None
    sizes, axis = a.args[1:3]
    size = sizes[axis]  # type: ignore[index]
    if not isinstance(size, int) or a.args[5] != 1 or b.args[5] != 1:
        return None
    (first, second) = sorted((a, b), key=lambda n: n.args[3])  # type: ignore[arg-type,return-value]
    starts_at_once, ends_late = first.args[3] == 0, second.args[4] >= size  # type: ignore[operator]
    if not (starts_at_once and ends_late and first.args[4] == second.args[3]):
        return None
    return (first.args[0], second.args[0]), axis  # type: ignore[return-value]


def _same_dtype(a: fx.Node, b: object) -> bool:
    x, y = (n.meta.get("val") if isinstance(n, fx.Node) else None for n in (a, b))
    return isinstance(x, Tensor) and isinstance(y, Tensor) and x.dtype == y.dtype


def _axes(shape: Sequence[int]) -> list[int]:
    return list(range(-len(shape), 0))


def _layer_mean(x: Tensor, shape: Sequence[int], *_: object) -> Tensor:
    return x.mean(_axes(shape), keepdim=True)


def _layer_scale(x: Tensor, shape: Sequence[int], _w: object, _b: object, eps: float) -> Tensor:
    return torch.rsqrt(x.var(_axes(shape), correction=0, keepdim=True) + eps)


def _layer_back(
    c: Tensor,
    x: Tensor,
    shape: Sequence[int],
    mean: Tensor,
    rstd: Tensor,
    w: Tensor | None,
    *_: object,
) -> Tensor:
    axes, c = _axes(shape), c if w is None else c * w
    normal = (x - mean) * rstd
    back = c - c.mean(axes, keepdim=True) - normal * (c * normal).mean(axes, keepdim=True)
    return back * rstd


# Results that torch does not differentiate, or not by all that they depend on, and what they are.
# Torch's derivative of these ops leaves that out without a word.
WRITTEN_OUT: dict[Target, dict[int, Callable[..., Tensor]]] = {
    torch.ops.aten.native_layer_norm.default: {1: _layer_mean, 2: _layer_scale},
    torch.ops.aten.native_layer_norm_backward.default: {0: _layer_back},
}

# Ops all of whose results torch differentiates.
WHOLLY_DIFFERENTIABLE: set[Target] = {
    torch.ops.aten.var_mean.correction,
    torch.ops.aten.std_mean.correction,
    torch.ops.aten.aminmax.default,
    torch.ops.aten.lstm.input,
    torch.ops.aten.gru.input,
    RUN_STEPS,
    END_STEPS,
}
