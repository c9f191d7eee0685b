"""Make symbolic sizes for one compilation: the capture's symbols in a fresh shape environment.

torch.export would give every argument of the relevance program symbols of its own, and conditions
that they are equal, some of them true for the example only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch._subclasses import FakeTensorMode
from torch.fx.experimental.symbolic_shapes import DimDynamic, ShapeEnv
from torch.types import IntLikeType

from ..capture.shape_contract import Expression, Symbol
from ..errors import PackageError
from .expression import evaluate, format_expression
from .program_set import ProgramSource, Shape

_UNLIMITED = 2**62


@dataclass(frozen=True)
class SymbolicArguments:
    """Arguments without data, and the capture's symbol for each of their symbols (`meant`)."""

    fakes: tuple[Tensor, ...]
    environment: ShapeEnv
    meant: Mapping[Symbol, Symbol]

    @classmethod
    def of(cls, source: ProgramSource) -> SymbolicArguments:
        """Make arguments like a program's own."""
        from torch._dynamo.source import ConstantSource  # loads torch._dynamo: seconds

        environment = ShapeEnv(duck_shape=False)
        mode = FakeTensorMode(shape_env=environment, allow_non_fake_inputs=True)
        sizes: dict[str, IntLikeType] = {}
        meant: dict[Symbol, Symbol] = {}
        for shape, tensor in zip(source.shapes, source.like, strict=True):
            for want, hint in zip(shape, tensor.shape, strict=True):
                if getattr(want, "is_symbol", False) and str(want) not in sizes:
                    origin = ConstantSource(str(want))
                    symbol = environment.create_symbol(hint, origin, DimDynamic.DYNAMIC)
                    made = environment.create_symintnode(symbol, hint=hint, source=origin)
                    sizes[str(want)], meant[symbol] = made, want
        arguments = zip(source.shapes, source.like, source.orders, strict=True)
        fakes = [
            _fake(mode, _shape_of(shape, sizes), like, order) for shape, like, order in arguments
        ]
        return cls(tuple(fakes), environment, meant)

    def conditions(self, name: str) -> tuple[str, ...]:
        """Return the conditions added by tracing and compiling, in the symbols of the capture."""
        found: list[Expression] = [guard.expr for guard in self.environment.guards]
        for symbol in self.meant:
            limits = self.environment.var_to_range[symbol]
            # Below 2 a capture holds just as little: sizes of 1 are tried.
            found += [symbol >= limits.lower] if limits.lower > 2 else []
            found += [symbol <= limits.upper] if limits.upper < _UNLIMITED else []
        for condition in found:
            if condition.free_symbols - self.meant.keys():
                raise PackageError(f"the program {name!r} holds only if {condition}")
        return tuple(dict.fromkeys(format_expression(c.xreplace(self.meant)) for c in found))


def _shape_of(shape: Shape, sizes: Mapping[str, IntLikeType]) -> list[IntLikeType]:
    return [
        size if isinstance(size, int) else evaluate(format_expression(size), sizes)
        for size in shape
    ]


def _fake(
    mode: FakeTensorMode, shape: list[IntLikeType], like: Tensor, order: tuple[int, ...]
) -> Tensor:
    back = sorted(range(len(order)), key=lambda axis: order[axis])
    with mode:
        empty = torch.empty([shape[axis] for axis in order], dtype=like.dtype, device=like.device)
        return empty.permute(*back)
