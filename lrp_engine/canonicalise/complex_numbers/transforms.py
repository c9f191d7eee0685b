"""Spell Fourier transforms as linear ops of real tensors."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ...graphs.aten import aten
from ...kernels.fourier import fourier, fourier_of_real, fourier_to_real
from .arithmetic import NotSpelled, Spelling
from .pair import Pair, Value, pair_of, stack, unstack


def _axes(x: Tensor, dim: Sequence[int]) -> list[int]:
    if not dim:
        raise NotSpelled
    return [d % x.dim() for d in dim]


def transform(z: Value, dim: Sequence[int], normalisation: int, forward: bool) -> Pair:
    """Transform complex to complex."""
    both = pair_of(z)
    return unstack(fourier(stack(both), _axes(both.re, dim), normalisation, forward))


def transform_real(x: Tensor, dim: Sequence[int], normalisation: int, onesided: bool) -> Pair:
    """Transform real to complex."""
    return unstack(fourier_of_real(x, _axes(x, dim), normalisation, onesided))


def transform_back(z: Value, dim: Sequence[int], normalisation: int, size: int) -> Tensor:
    """Transform half of a spectrum to real entries."""
    both = pair_of(z)
    return fourier_to_real(stack(both), _axes(both.re, dim), normalisation, size)


SPELLINGS: dict[object, Spelling] = {
    aten._fft_c2c.default: transform,
    aten._fft_r2c.default: transform_real,
    aten._fft_c2r.default: transform_back,
}
