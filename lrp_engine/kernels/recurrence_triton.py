"""Compute the linear recurrence in one Triton kernel: one pass over memory for any length."""

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from .has_triton import running_on

_CHANNELS = 32  # per program: many programs, so that every processor has some
_STEPS = 32  # read at once: none of these reads waits for the state
_WARPS = 4


@triton.jit
def _join(a_left, h_left, a_right, h_right):  # type: ignore[no-untyped-def]
    return a_left * a_right, a_right * h_left + h_right


@triton.jit  # type: ignore[untyped-decorator]
def _kernel(  # type: ignore[no-untyped-def]
    decay, inflow, result, steps, inner, channels, decays, share,
    BACKWARD: tl.constexpr, LAGGING: tl.constexpr, WIDE: tl.constexpr,
    CHANNELS: tl.constexpr, STEPS: tl.constexpr,
):  # fmt: skip
    """Walk along time for a block of channels, which are the axes before and behind time.

    The first `decays` of the axes before have decays of their own, the others use them again.
    """
    channel = tl.program_id(0).to(tl.int64) * CHANNELS + tl.arange(0, CHANNELS)
    here = channel < channels
    outer, within = channel // inner, channel % inner
    own = outer * steps * inner + within
    of_decay = (outer % decays) * steps * inner + within
    row = tl.arange(0, STEPS)
    state = tl.zeros([CHANNELS], dtype=WIDE)
    for first in range(0, steps, STEPS):
        visit = first + row
        t = steps - 1 - visit if BACKWARD else visit
        held = (t + 1 if BACKWARD else t - 1) if LAGGING else t
        inside = (visit < steps)[:, None] & here[None, :]
        decays_here = inside & (visit > 0)[:, None]
        place = t.to(tl.int64)[:, None] * inner
        at = held.to(tl.int64)[:, None] * inner
        a = tl.load(decay + of_decay[None, :] + at, mask=decays_here, other=0.0).to(WIDE) * share
        b = tl.load(inflow + own[None, :] + place, mask=inside, other=0.0).to(WIDE)
        b += tl.where(row[:, None] == 0, a * state[None, :], 0.0)
        _, h = tl.associative_scan((a, b), 0, _join)
        tl.store(result + own[None, :] + place, h, mask=inside)
        state = tl.sum(tl.where(row[:, None] == STEPS - 1, h, 0.0), 0)


def run_kernel(
    decay: Tensor, inflow: Tensor, dim: int, backward: bool, lagging: bool, share: float
) -> Tensor:
    """Compute the recurrence on a GPU, with the arguments of `recurrence_torch.run_steps`."""
    inflow = inflow.contiguous()
    result = inflow.new_empty(inflow.shape)
    steps, inner = inflow.shape[dim], math.prod(inflow.shape[dim + 1 :])
    channels = inflow.numel() // max(steps, 1)
    shared = dim > 0 and decay.stride(0) == 0  # the same for every entry of the first axis
    decay = (decay[:1] if shared else decay).contiguous()
    wide = tl.float64 if inflow.dtype == torch.float64 else tl.float32
    if channels:
        with running_on(inflow.device):
            _kernel[(triton.cdiv(channels, _CHANNELS),)](
                decay, inflow, result, steps, inner, channels, math.prod(decay.shape[:dim]), share,
                backward, lagging, wide, _CHANNELS, _STEPS, num_warps=_WARPS,
            )  # fmt: skip
    return result
