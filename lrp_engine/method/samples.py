"""Write sample inputs as data beside each op; tests draw the tensors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.utils import _pytree as pytree


@dataclass(frozen=True)
class TensorSpec:
    """A tensor to be drawn from a generator."""

    draw: Callable[[torch.Generator, torch.dtype], Tensor]


@dataclass(frozen=True)
class Sample:
    """One call of an op, its tensors given as `TensorSpec`s."""

    args: tuple[object, ...]
    kwargs: dict[str, object] = field(default_factory=dict)

    def make(
        self, seed: int = 0, dtype: torch.dtype = torch.float64
    ) -> tuple[tuple[object, ...], dict[str, object]]:
        """Draw the tensors: the same seed gives the same call."""
        generator = torch.Generator().manual_seed(seed)

        def draw(leaf: object) -> object:
            return leaf.draw(generator, dtype) if isinstance(leaf, TensorSpec) else leaf

        args = tuple(pytree.tree_map(draw, self.args))
        kwargs: dict[str, object] = pytree.tree_map(draw, self.kwargs)
        return args, kwargs


def sample(*args: object, **kwargs: object) -> Sample:
    """Write one sample call: `sample(real(2, 3), dim=1)`."""
    return Sample(args, kwargs)


def real(*shape: int) -> TensorSpec:
    """Draw standard normal entries."""
    return TensorSpec(
        lambda g, dtype: torch.randn(shape, generator=g, dtype=torch.float64).to(dtype)
    )


def real_bfloat16(*shape: int) -> TensorSpec:
    """Draw standard normal entries in bfloat16, for kernels that support no wider dtype."""
    return TensorSpec(lambda g, dtype: torch.randn(shape, generator=g).bfloat16())


def group_ends(*ends: int) -> TensorSpec:
    """Give the ends of groups of rows, as 32-bit integers."""
    return TensorSpec(lambda g, dtype: torch.tensor(ends, dtype=torch.int32))


def positive(*shape: int) -> TensorSpec:
    """Draw entries in (0.5, 1.5)."""
    return TensorSpec(
        lambda g, dtype: (torch.rand(shape, generator=g, dtype=torch.float64) + 0.5).to(dtype)
    )


def between(low: float, high: float, *shape: int) -> TensorSpec:
    """Draw entries in (low, high)."""

    def draw(g: torch.Generator, dtype: torch.dtype) -> Tensor:
        return (torch.rand(shape, generator=g, dtype=torch.float64) * (high - low) + low).to(dtype)

    return TensorSpec(draw)


def odd_eighths(*shape: int) -> TensorSpec:
    """Draw odd multiples of 1/8 in (-4, 4): exact in every floating-point type, never zero."""
    return TensorSpec(
        lambda g, dtype: ((torch.randint(-16, 16, shape, generator=g) * 2 + 1) / 8).to(dtype)
    )


def integers(high: int, *shape: int) -> TensorSpec:
    """Draw indices in [0, high)."""
    return TensorSpec(lambda g, dtype: torch.randint(high, shape, generator=g))


def mask(*shape: int) -> TensorSpec:
    """Draw booleans, about half of them true."""
    return TensorSpec(lambda g, dtype: torch.rand(shape, generator=g) > 0.5)
