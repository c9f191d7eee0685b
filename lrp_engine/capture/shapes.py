"""Which sizes may change between calls, and the conditions that the capture relied on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, fx
from torch.export import Dim
from torch.utils import _pytree as pytree

_BATCHES = (3, 5, 7, 11, 13)


def is_sequence_like(tensor: Tensor) -> bool:
    """Token ids, masks, features over time: every axis may grow. Images: the batch only."""
    return tensor.dim() <= 3 or not tensor.dtype.is_floating_point


def dynamic_spec(inputs: Any) -> Any:
    """The `dynamic_shapes` for `torch.export`: axes of size 0 or 1 stay as they are."""

    def axes(leaf: Any) -> Any:
        if not isinstance(leaf, Tensor):
            return None
        free = range(leaf.dim()) if is_sequence_like(leaf) else range(min(leaf.dim(), 1))
        return {axis: Dim.AUTO for axis in free if leaf.shape[axis] > 1}

    return pytree.tree_map(axes, inputs)


def batch_size(inputs: Any) -> int | None:
    """The common size of axis 0, if every input tensor has one."""
    tensors = [t for t in pytree.tree_leaves(inputs) if isinstance(t, Tensor)]
    sizes = {t.shape[0] if t.dim() else None for t in tensors}
    return sizes.pop() if len(sizes) == 1 else None


def with_distinct_batch(inputs: Any) -> Any:
    """Example inputs whose batch size is neither 1 nor the size of another axis.

    torch.export makes an axis of size 1 a constant, and takes two axes of one size for
    the same; a batch of its own size avoids both.
    """
    batch = batch_size(inputs)
    if not batch:
        return inputs
    tensors = [t for t in pytree.tree_leaves(inputs) if isinstance(t, Tensor)]
    others = {size for t in tensors for size in t.shape[1:]}
    if batch > 1 and batch not in others:
        return inputs
    wanted = next(b for b in _BATCHES if b not in others)

    def rebatch(leaf: Any) -> Any:
        if not isinstance(leaf, Tensor):
            return leaf
        return leaf[torch.arange(wanted, device=leaf.device) % batch]

    return pytree.tree_map(rebatch, inputs)


@dataclass(frozen=True)
class Free:
    """One input axis whose size may change."""

    leaf: int
    axis: int
    symbol: Any


@dataclass(frozen=True)
class ShapeContract:
    """Fixed sizes, free sizes, and the conditions on the free ones.

    `conditions` are read from the shape environment when asked for, since rules may add some.
    """

    fakes: tuple[Any, ...]
    environment: Any = None

    def free(self) -> tuple[Free, ...]:
        found: list[Free] = []
        for i, fake in enumerate(self.fakes):
            if isinstance(fake, Tensor):
                for axis, size in enumerate(fake.shape):
                    if isinstance(size, torch.SymInt) and size.node.expr.free_symbols:
                        found.append(Free(i, axis, size.node.expr))
        return tuple(found)

    def conditions(self) -> tuple[Any, ...]:
        if self.environment is None:
            return ()
        guards = tuple(g.expr for g in self.environment.guards if not _chooses_kernel(g))
        fixed = tuple(self.environment.replacements.items())
        return (*guards, *(_equal(symbol, expr) for symbol, expr in fixed))

    def sizes(self, leaves: Sequence[Any]) -> dict[Any, int]:
        """The free sizes of one call, by symbol."""
        return {f.symbol: leaves[f.leaf].shape[f.axis] for f in self.free() if f.symbol.is_symbol}

    def broken(self, leaves: Sequence[Any]) -> str | None:
        """What is wrong with these inputs' shapes; None if nothing is."""
        sizes: dict[str, int] = {}
        problem = mismatch(leaves, [axes_of(fake) for fake in self.fakes], sizes)
        return problem or _broken_condition(self.conditions(), tuple(sizes.items()))


def _chooses_kernel(guard: Any) -> bool:
    """Whether torch only asked which of a convolution's kernels it would take (on CPUs oneDNN's
    from 16 samples on): that changes how fast the result comes, not what it is.
    """
    place = getattr(getattr(guard, "sloc", None), "framework_loc", None)
    where = (getattr(place, "filename", ""), getattr(place, "name", ""))
    return where[0].endswith("fake_impls.py") and where[1] == "conv"


def contract_of(placeholders: Sequence[fx.Node]) -> ShapeContract:
    """The contract written in the placeholders' fake values."""
    fakes = tuple(node.meta.get("val") for node in placeholders)
    modes = [f.fake_mode for f in fakes if isinstance(f, Tensor) and hasattr(f, "fake_mode")]
    return ShapeContract(fakes, modes[0].shape_env if modes else None)


Axes = tuple[int | str, ...]


def axes_of(fake: Any) -> Axes | None:
    """The sizes of a tensor: numbers where they are fixed, a symbol or an expression elsewhere."""
    if not isinstance(fake, Tensor):
        return None
    return tuple(axis_of(size) for size in fake.shape)


def axis_of(size: Any) -> int | str:
    """A number, or the text of what it depends on."""
    if not isinstance(size, torch.SymInt):
        return int(size)
    expr = size.node.expr
    return int(expr) if expr.is_number else str(expr)


def mismatch(
    leaves: Sequence[Any], shapes: Sequence[Axes | None], sizes: dict[str, int]
) -> str | None:
    """The first input that does not have its shape; fills in the sizes of symbols."""
    for i, (leaf, shape) in enumerate(zip(leaves, shapes, strict=True)):
        if shape is not None and (problem := _unlike(leaf, shape, sizes)):
            return f"input leaf {i}: {problem}"
    return None


def _unlike(leaf: Any, shape: Axes, sizes: dict[str, int]) -> str | None:
    if not isinstance(leaf, Tensor):
        return f"a tensor is expected, got {type(leaf).__name__}"
    wanted = f"[{', '.join(str(s) for s in shape)}]"
    if leaf.dim() != len(shape):
        return f"shape {list(leaf.shape)} does not fit {wanted}"
    for axis, (have, want) in enumerate(zip(leaf.shape, shape, strict=True)):
        if isinstance(want, int):
            if have != want:
                return f"shape {list(leaf.shape)} does not fit {wanted}: axis {axis} is fixed"
        elif want.isidentifier() and sizes.setdefault(want, have) != have:
            return f"axis {axis} has size {have} where another input axis has {sizes[want]}"
    return None


def _equal(symbol: Any, expr: Any) -> Any:
    import sympy

    return sympy.Eq(symbol, expr)


@lru_cache(maxsize=4096)
def _broken_condition(
    conditions: tuple[Any, ...], sizes: tuple[tuple[str, int], ...]
) -> str | None:
    known = dict(sizes)
    for condition in conditions:
        # A size of 1 is allowed where capture assumed "2 or more", as torch.export itself does.
        relevant = {s: known[str(s)] for s in condition.free_symbols if str(s) in known}
        if any(size == 1 for size in relevant.values()):
            continue
        if condition.xreplace(relevant) == False:  # noqa: E712 - sympy's false is not Python's
            return f"the capture holds only where {condition}; here {relevant}"
    return None
