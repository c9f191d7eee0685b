"""Spell casts to and from complex dtypes, and tensors that are filled with a number."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...graphs.aten import CAST, aten
from .arithmetic import Spelling
from .pair import Pair, Value, pair_of


def part_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype of the parts of a complex dtype; any other dtype itself."""
    return dtype.to_real() if dtype.is_complex else dtype


def cast(z: Value, *, dtype: torch.dtype | None = None, **settings: Any) -> Value:
    """Cast to another dtype; a cast to real numbers drops the imaginary part."""
    wanted = None if dtype is None else part_dtype(dtype)
    if dtype is not None and not dtype.is_complex:
        return CAST(z.re if isinstance(z, Pair) else z, dtype=wanted, **settings)  # type: ignore[no-any-return]
    both = pair_of(z)
    return Pair(*(CAST(part, dtype=wanted, **settings) for part in both))


def cast_to(z: Value, dtype: torch.dtype, *_: object) -> Value:
    """Do as `tensor.to(dtype)`."""
    return cast(z, dtype=dtype)


def cast_as(z: Value, other: Value) -> Value:
    """Do as `tensor.type_as(other)`."""
    if isinstance(other, Pair):
        return cast(z, dtype=other.re.dtype.to_complex())
    assert isinstance(other, Tensor)
    return cast(z, dtype=other.dtype)


def _filled(op: Any, number: complex | None = None) -> Spelling:
    """Return the spelling of an op that fills a shape with a number, or with an argument."""

    def spell(like: Any, *shape: Any, dtype: torch.dtype | None = None, **settings: Any) -> Value:
        template = like.re if isinstance(like, Pair) else like
        wanted = None if dtype is None else part_dtype(dtype)
        *sizes, fill = shape if number is None else (*shape, number)
        is_complex = (
            dtype.is_complex
            if dtype is not None
            else isinstance(like, Pair) or isinstance(fill, Pair)
        )
        parts = fill if isinstance(fill, Pair) else Pair(fill.real, fill.imag)
        made = [op(template, *sizes, part, dtype=wanted, **settings) for part in parts]
        return Pair(*made) if is_complex else made[0]

    return spell


SPELLINGS: dict[object, Spelling] = {
    CAST: cast,
    aten.to.dtype: cast_to,
    aten.to.dtype_layout: cast,
    aten.type_as.default: cast_as,
    aten.full.default: _filled(aten.full.default),
    aten.full_like.default: _filled(aten.full_like.default),
    aten.new_full.default: _filled(aten.new_full.default),
    aten.zeros.default: _filled(aten.full.default, 0.0),
    aten.zeros_like.default: _filled(aten.full_like.default, 0.0),
    aten.new_zeros.default: _filled(aten.new_full.default, 0.0),
    aten.ones.default: _filled(aten.full.default, 1.0),
    aten.ones_like.default: _filled(aten.full_like.default, 1.0),
    aten.new_ones.default: _filled(aten.new_full.default, 1.0),
}
