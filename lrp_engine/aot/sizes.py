"""Free sizes for one compilation: the capture's own symbols, in an environment of their own.

torch.export would give every argument of the relevance program symbols of its own and find out by
conditions, some of them true for the example only, that they are the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch._dynamo.source import ConstantSource
from torch._subclasses import FakeTensorMode
from torch.fx.experimental.symbolic_shapes import DimDynamic, ShapeEnv

from ..errors import PackageError
from .expression import evaluate, text_of
from .program_set import Source

_UNLIMITED = 2**62


@dataclass(frozen=True)
class Sizes:
    """Arguments without data, and what their symbols are in the capture."""

    fakes: tuple[Tensor, ...]
    environment: ShapeEnv
    meant: Mapping[Any, Any]

    @classmethod
    def of(cls, source: Source) -> Sizes:
        """Arguments like a program's own."""
        environment = ShapeEnv(duck_shape=False)
        mode = FakeTensorMode(shape_env=environment, allow_non_fake_inputs=True)
        sizes: dict[str, Any] = {}
        meant: dict[Any, Any] = {}
        for shape, tensor in zip(source.shapes, source.like, strict=True):
            for want, hint in zip(shape, tensor.shape, strict=True):
                if getattr(want, "is_symbol", False) and str(want) not in sizes:
                    origin = ConstantSource(str(want))
                    symbol = environment.create_symbol(hint, origin, DimDynamic.DYNAMIC)
                    made = environment.create_symintnode(symbol, hint=hint, source=origin)
                    sizes[str(want)], meant[symbol] = made, want
        arguments = zip(source.shapes, source.like, source.orders, strict=True)
        fakes = [
            _fake(mode, _filled(shape, sizes), like, order) for shape, like, order in arguments
        ]
        return cls(tuple(fakes), environment, meant)

    def relied_on(self, name: str) -> tuple[str, ...]:
        """The conditions that tracing and compilation have added, in the symbols of the capture."""
        found: list[Any] = [guard.expr for guard in self.environment.guards]
        for symbol in self.meant:
            limits = self.environment.var_to_range[symbol]
            # Below 2 a capture holds just as little: sizes of 1 are tried.
            found += [symbol >= limits.lower] if limits.lower > 2 else []
            found += [symbol <= limits.upper] if limits.upper < _UNLIMITED else []
        for condition in found:
            if condition.free_symbols - self.meant.keys():
                raise PackageError(f"the program {name!r} holds only where {condition}")
        return tuple(dict.fromkeys(text_of(c.xreplace(self.meant)) for c in found))


def _filled(shape: Sequence[Any], sizes: Mapping[str, Any]) -> list[Any]:
    return [size if isinstance(size, int) else evaluate(text_of(size), sizes) for size in shape]


def _fake(mode: FakeTensorMode, shape: list[Any], like: Tensor, order: tuple[int, ...]) -> Tensor:
    back = sorted(range(len(order)), key=lambda axis: order[axis])
    with mode:
        empty = torch.empty([shape[axis] for axis in order], dtype=like.dtype, device=like.device)
        return empty.permute(*back)
