"""Spell parts, sizes, angles and functions of complex values."""

from __future__ import annotations

import torch
from torch import Tensor

from ...graphs.aten import aten
from .arithmetic import Spelling
from .pair import Pair, Value, stack, unstack


def magnitude(z: Pair) -> Tensor:
    """Return |z|."""
    return torch.hypot(z.re, z.im)


def angle(z: Pair) -> Tensor:
    """Return the angle of z, in (-pi, pi]."""
    return torch.atan2(z.im, z.re)


def join(re: Tensor, im: Tensor) -> Pair:
    """Return the complex value of two parts."""
    return Pair(*aten.broadcast_tensors.default([re, im]))


def from_polar(size: Tensor, angle: Tensor) -> Pair:
    """Return the complex value of a size and an angle."""
    return Pair(size * torch.cos(angle), size * torch.sin(angle))


def direction(z: Pair) -> Pair:
    """Return z / |z|, and 0 at 0."""
    size = magnitude(z)
    safe = size.masked_fill(size == 0, 1.0)
    return Pair(z.re / safe, z.im / safe)


def exponential(z: Pair) -> Pair:
    """Return exp(z)."""
    return from_polar(torch.exp(z.re), z.im)


def logarithm(z: Pair) -> Pair:
    """Return log(z), its principal value."""
    return Pair(torch.log(magnitude(z)), angle(z))


def vector_norm(z: Pair, *settings: object, dtype: torch.dtype | None = None) -> Tensor:
    """Return the norm of the entries' sizes."""
    found: Tensor = aten.linalg_vector_norm.default(magnitude(z), *settings)
    return found


def imaginary(z: Value) -> Tensor:
    """Return the imaginary part."""
    assert isinstance(z, Pair)
    return z.im  # type: ignore[no-any-return]


def is_equal(a: Value, b: Value) -> Tensor:
    """Return where both parts are equal."""
    (u, v), (x, y) = (z if isinstance(z, Pair) else Pair(z, 0.0) for z in (a, b))
    found: Tensor = (u == x) & (v == y)
    return found


def is_unequal(a: Value, b: Value) -> Tensor:
    """Return where one of the parts differs."""
    return ~is_equal(a, b)


_PARTS: dict[object, Spelling] = {
    aten.view_as_real.default: stack,
    aten.view_as_complex.default: unstack,
    aten.complex.default: join,
    aten.real.default: lambda z: z.re,
    aten.imag.default: imaginary,
    aten.eq.Tensor: is_equal,
    aten.eq.Scalar: is_equal,
    aten.ne.Tensor: is_unequal,
    aten.ne.Scalar: is_unequal,
    aten.isnan.default: lambda z: torch.isnan(z.re) | torch.isnan(z.im),
    aten.isinf.default: lambda z: torch.isinf(z.re) | torch.isinf(z.im),
    aten.isfinite.default: lambda z: torch.isfinite(z.re) & torch.isfinite(z.im),
}
EXACT = _PARTS.keys()
SPELLINGS: dict[object, Spelling] = {
    **_PARTS,
    aten.polar.default: from_polar,
    aten.abs.default: magnitude,
    aten.angle.default: angle,
    aten.sgn.default: direction,
    aten.exp.default: exponential,
    aten.log.default: logarithm,
    aten.linalg_vector_norm.default: vector_norm,
}
