"""Define the linear recurrence as one op: h_t = decay_t * h_(t-1) + inflow_t, h_(-1) = 0.

Its adjoint is a recurrence, too: it walks the other way, and each step decays by what the step
before it holds. So one op serves the forward pass, rules and derivatives of any order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .has_triton import has_triton
from .recurrence_torch import run_doubling, run_steps

Kernel = Callable[[Tensor, Tensor, int, bool, bool, float], Tensor]


_NAME = "lrp_engine::linear_recurrence"
# Defined by its parts: in a profile (torch 2.11) custom_op spent 0.2 ms a call around the kernel.
torch.library.define(
    _NAME,
    "(Tensor decay, Tensor inflow, int dim, bool reverse=False, bool adjoint=False,"
    " float share=1.0) -> Tensor",
    tags=(torch.Tag.pt2_compliant_tag,),
)
linear_recurrence: Callable[..., Tensor] = torch.ops.lrp_engine.linear_recurrence


@torch.library.impl(_NAME, "default")
def _computed(
    decay: Tensor,
    inflow: Tensor,
    dim: int,
    reverse: bool = False,
    adjoint: bool = False,
    share: float = 1.0,
) -> Tensor:
    """Compute h_t = share * decay_t * h_(t-1) + inflow_t along `dim`; `reverse` starts at the end.

    `adjoint`: the transpose of that as a map of the inflow, g_t = share * decay_(t+1) * g_(t+1) +
    inflow_t. The result is contiguous. Half precision is accumulated in single.
    """
    if decay.shape != inflow.shape or decay.dtype != inflow.dtype:
        raise ValueError("linear_recurrence: decay and inflow differ in shape or dtype")
    dim %= inflow.dim()
    return _way(inflow.device.type)(decay, inflow, dim, reverse != adjoint, adjoint, share)


def _without_data(decay: Tensor, inflow: Tensor, dim: int, *settings: object) -> Tensor:
    return inflow.new_empty(inflow.shape)


torch.library.register_fake(_NAME, _without_data)


def _way(device: str) -> Kernel:
    """Choose one pass over memory where a loop is cheap, else log2(steps) passes."""
    if device == "cuda" and has_triton():
        from .recurrence_triton import run_kernel

        return run_kernel
    return run_steps if device == "cpu" else run_doubling


def previous_states(h: Tensor, dim: int, reverse: bool = False) -> Tensor:
    """Return h_(t-1), zero at the first step, in the shape of `h`."""
    ends = [0, 0] * (h.dim() - 1 - dim % h.dim())
    return torch.nn.functional.pad(h, [*ends, *((-1, 1) if reverse else (1, -1))])


def _remember(ctx: Any, inputs: tuple[object, ...], output: Tensor) -> None:
    decay, _, *ctx.settings = inputs
    ctx.save_for_backward(decay, output)


def _backward(ctx: Any, c: Tensor) -> tuple[Tensor | None, ...]:
    """Return the adjoint for the inflow, and for the decay what arrives times the state before."""
    decay, output = ctx.saved_tensors
    dim, reverse, adjoint, share = ctx.settings
    back = linear_recurrence(decay, c, dim, reverse, not adjoint, share)
    arrives, state = (output, back) if adjoint else (back, output)
    at_decay = None
    if ctx.needs_input_grad[0]:
        at_decay = share * arrives * previous_states(state, dim, reverse)
    return at_decay, back, None, None, None, None


torch.library.register_autograd(_NAME, _backward, setup_context=_remember)


def _batched(
    info: object,
    in_dims: tuple[int | None, ...],
    decay: Tensor,
    inflow: Tensor,
    dim: int,
    *settings: object,
) -> tuple[Tensor, int]:
    """Add one more axis in front; an operand that is the same for all is not copied."""
    size = next(x.shape[d] for x, d in zip((decay, inflow), in_dims, strict=False) if d is not None)
    decay, inflow = (
        x.expand(size, *x.shape) if d is None else x.movedim(d, 0)
        for x, d in zip((decay, inflow), in_dims, strict=False)
    )
    return linear_recurrence(decay, inflow, dim % (inflow.dim() - 1) + 1, *settings), 0


torch.library.register_vmap(_NAME, _batched)
