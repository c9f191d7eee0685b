"""Weigh the entries of half a spectrum: all but the ends stand for two of the whole."""

from __future__ import annotations

import torch
from torch import Tensor


def half_of(size: int) -> int:
    """Return how many entries of a spectrum of real numbers are kept: the others mirror them."""
    return size // 2 + 1


def count_twice(pairs: Tensor, dim: int, size: int, factor: float) -> Tensor:
    """Multiply the entries that have a mirror image by a factor; leave the others real.

    Args:
        pairs: Half a spectrum (..., 2).
        dim: The axis along which it is a half.
        size: The length of the whole.
        factor: What the entries that stand for two are multiplied by.
    """
    place = torch.arange(half_of(size), device=pairs.device)
    alone = (place == 0) | (2 * place == size)
    alone = alone.view([-1] + [1] * (pairs.dim() - 1 - dim))
    of_mirrored = torch.where(alone, 1.0, factor).to(pairs.dtype)
    imaginary = torch.where(alone, 0.0, factor).to(pairs.dtype)
    at_real = torch.arange(2, device=pairs.device) == 0
    return pairs * torch.where(at_real, of_mirrored, imaginary)
