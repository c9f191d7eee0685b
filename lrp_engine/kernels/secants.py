"""Define the secants (f(b) - f(a)) / (b - a) of common functions as one op each.

An op reads both operands once and writes once, on a GPU by a Triton kernel; on a CPU the closed
form runs over pieces that stay in the cache. Arithmetic is in single precision at least.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from . import secants_torch
from .has_triton import has_triton

Secant = Callable[[Tensor, Tensor], Tensor]

_PIECE = 2**15  # entries whose intermediate results stay in a CPU's cache


def _computed(name: str, form: Secant, b: Tensor, a: Tensor) -> Tensor:
    """Compute the secants of b and a, of one shape and dtype, in that dtype."""
    if b.shape != a.shape or b.dtype != a.dtype:
        raise ValueError(f"secant_of_{name}: operands differ in shape or dtype")
    result = torch.empty_like(b)
    b, a = _laid_as(result, b), _laid_as(result, a)
    if not result.numel():
        return result
    if b.device.type == "cuda" and b.dtype != torch.float64 and has_triton():
        from .secants_triton import run_kernel

        run_kernel(name, b, a, result)
    else:
        _in_pieces(form, b, a, result)
    return result


def _laid_as(result: Tensor, x: Tensor) -> Tensor:
    """Return a tensor with its entries in the order of `result` in memory."""
    return x if x.stride() == result.stride() else torch.empty_like(result).copy_(x)


def _in_pieces(form: Secant, b: Tensor, a: Tensor, result: Tensor) -> None:
    size = _PIECE if b.device.type == "cpu" else b.numel()
    wide = torch.promote_types(b.dtype, torch.float32)
    flat = [torch.split(x.as_strided((x.numel(),), (1,)), size) for x in (b, a, result)]
    for one, other, into in zip(*flat, strict=True):
        into.copy_(form(one.to(wide), other.to(wide)))


def _define(name: str, form: Secant) -> Secant:
    qualified = f"lrp_engine::secant_of_{name}"
    tags = (torch.Tag.pt2_compliant_tag, torch.Tag.pointwise)
    torch.library.define(qualified, "(Tensor b, Tensor a) -> Tensor", tags=tags)
    torch.library.impl(qualified, "CompositeExplicitAutograd")(partial(_computed, name, form))
    torch.library.register_fake(qualified, lambda b, a: torch.empty_like(b))
    op: Secant = getattr(torch.ops.lrp_engine, f"secant_of_{name}").default
    return op


secant_of_cube: Secant = _define("cube", secants_torch.cube)
secant_of_exp: Secant = _define("exp", secants_torch.exp)
secant_of_gelu: Secant = _define("gelu", secants_torch.gelu)
secant_of_gelu_tanh: Secant = _define("gelu_tanh", secants_torch.gelu_tanh)
secant_of_relu: Secant = _define("relu", secants_torch.relu)
secant_of_sigmoid: Secant = _define("sigmoid", secants_torch.sigmoid)
secant_of_silu: Secant = _define("silu", secants_torch.silu)
secant_of_square: Secant = _define("square", secants_torch.square)
secant_of_tanh: Secant = _define("tanh", secants_torch.tanh)
