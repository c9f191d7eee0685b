"""Compute the linear recurrence in plain torch: step by step, and by doubling strides."""

from __future__ import annotations

import torch
from torch import Tensor


def run_steps(
    decay: Tensor, inflow: Tensor, dim: int, backward: bool, lagging: bool, share: float
) -> Tensor:
    """Multiply, then add, at every step: the roundings of a loop written in Python.

    `backward`: from the last step to the first. `lagging`: a step's decay is the one that the step
    visited before it holds.
    """
    dtype = inflow.dtype
    if dtype.itemsize < torch.float32.itemsize:
        wide = run_steps(decay.float(), inflow.float(), dim, backward, lagging, share)
        return wide.to(dtype)
    result = inflow.new_empty(inflow.shape)
    a, b, h = decay.unbind(dim), inflow.unbind(dim), result.unbind(dim)
    before = None
    for t in reversed(range(len(h))) if backward else range(len(h)):
        if before is None:
            h[t].copy_(b[t])
        else:
            torch.mul(a[before if lagging else t], h[before], out=h[t])
            torch.add(b[t], h[t], alpha=share, out=h[t])
        before = t
    return result


def run_doubling(
    decay: Tensor, inflow: Tensor, dim: int, backward: bool, lagging: bool, share: float
) -> Tensor:
    """Combine every step with those 1, 2, 4, ... before it: log2(length) passes over memory."""
    wide = torch.promote_types(inflow.dtype, torch.float32)
    a, h = (x.movedim(dim, 0).to(wide) for x in (decay, inflow))
    if backward:
        a, h = a.flip(0), h.flip(0)
    a = share * (a.roll(1, 0) if lagging else a)
    reach = 1
    while reach < len(h):
        h = torch.cat([h[:reach], h[reach:] + a[reach:] * h[:-reach]])
        a = torch.cat([a[:reach], a[reach:] * a[:-reach]])
        reach *= 2
    h = h.flip(0) if backward else h
    return h.movedim(0, dim).to(inflow.dtype).contiguous()
