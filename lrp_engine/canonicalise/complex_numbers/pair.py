"""Define complex values as pairs of real ones, and how two of them are multiplied."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

Part = Any  # a tensor, a number, or a node that stands for one


class Pair(NamedTuple):
    """A complex value: its real and its imaginary part."""

    re: Part
    im: Part


Value = Pair | Tensor | float


def pair_of(value: Value) -> Pair:
    """Return any value as a complex one."""
    if isinstance(value, Pair):
        return value
    return Pair(value, torch.zeros_like(value) if isinstance(value, Tensor) else 0.0)


def conjugate(z: Pair) -> Pair:
    """Return the complex conjugate."""
    return Pair(z.re, -z.im)


def combine(product: Callable[[Part, Part], Part], a: Value, b: Value) -> Value:
    """Return what a product, linear in both of its factors, is of complex ones."""
    if isinstance(a, Pair) and isinstance(b, Pair):
        re = product(a.re, b.re) - product(a.im, b.im)
        return Pair(re, product(a.re, b.im) + product(a.im, b.re))
    if isinstance(a, Pair):
        return Pair(product(a.re, b), product(a.im, b))
    if isinstance(b, Pair):
        return Pair(product(a, b.re), product(a, b.im))
    return product(a, b)  # type: ignore[no-any-return]


def multiply(a: Value, b: Value) -> Value:
    """Return a b, entry by entry."""
    return combine(lambda x, y: x * y, a, b)


def scale(z: Value, factor: Part) -> Value:
    """Multiply by a real number or tensor."""
    return Pair(z.re * factor, z.im * factor) if isinstance(z, Pair) else z * factor


def add(a: Value, b: Value) -> Value:
    """Return a + b."""
    if isinstance(a, Pair) or isinstance(b, Pair):
        a, b = pair_of(a), pair_of(b)
        return Pair(a.re + b.re, a.im + b.im)
    return a + b


def stack(z: Pair) -> Tensor:
    """Return a tensor (..., 2) of both parts, as `torch.view_as_real` does."""
    return torch.stack([z.re, z.im], -1)


def unstack(pairs: Tensor) -> Pair:
    """Return the parts of a tensor (..., 2), as `torch.view_as_complex` reads it."""
    return Pair(pairs.select(-1, 0), pairs.select(-1, 1))
