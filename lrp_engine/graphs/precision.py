"""Measure values and the precision that they are represented in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, fx
from torch.utils import _pytree as pytree

from .nodes import value


def split_flat(x: Tensor) -> Sequence[Tensor]:
    """Split a tensor into flat pieces: comparing large logits at once would need much memory."""
    return torch.split(x.reshape(-1), 2**24) if x.numel() else ()


def largest_finite(x: Tensor) -> float:
    """Return the largest finite |entry|."""
    return float(x.abs().nan_to_num(0.0, 0.0, 0.0).max())


def coarsest_dtype(nodes: Iterable[fx.Node]) -> torch.dtype:
    """Return the floating-point dtype of lowest precision among the nodes' values."""
    leaves = pytree.tree_leaves([value(node) for node in nodes])
    found = {v.dtype for v in leaves if isinstance(v, Tensor) and v.dtype.is_floating_point}
    return max(found, key=lambda d: torch.finfo(d).eps, default=torch.float32)


def rounding_tolerance(dtype: torch.dtype) -> float:
    """Return the relative difference that rounding may cause: half of the dtype's digits."""
    return float(torch.finfo(dtype).eps ** 0.5)


def change(b: Tensor, a: Tensor) -> Tensor:
    """Return b - a in at least float32, and 0 where both are infinite alike (a masked score)."""
    wide = torch.promote_types(torch.promote_types(b.dtype, a.dtype), torch.float32)
    b, a = b.to(wide), a.to(wide)
    return torch.where(b == a, torch.zeros_like(b), b - a)
