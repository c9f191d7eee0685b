"""Decide which sizes may change between calls; keep the conditions that the capture relied on."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, SupportsInt, TypeVar

import torch
from torch import Tensor, fx
from torch._guards import ShapeGuard
from torch.export import Dim
from torch.fx.experimental.symbolic_shapes import ShapeEnv
from torch.utils import _pytree as pytree

from ..graphs.nodes import value
from ..graphs.tracing_lock import one_at_a_time
from .caches import POSITIONS, KeysValues

_BATCHES = (3, 5, 7, 11, 13)

Tree = TypeVar("Tree")  # a tensor, or a tuple, list or dict of trees
Symbol = Any  # a symbol of sympy, which has no types
Expression = Any  # an expression of sympy


def is_sequence_like(tensor: Tensor) -> bool:
    """Return whether every axis may grow: ids, masks, features over time, but not images."""
    return tensor.dim() <= 3 or not tensor.dtype.is_floating_point


def dynamic_spec(inputs: Tree) -> Any:
    """Return the `dynamic_shapes` of inputs for `torch.export`; axes of size 0 or 1 stay fixed.

    Of cached keys and values, the batch and the positions are free.
    """

    def axes(leaf: object) -> Any:
        if isinstance(leaf, KeysValues):
            return KeysValues._make(_free_axes(t, (0, POSITIONS)) for t in leaf)
        if not isinstance(leaf, Tensor):
            return None
        return _free_axes(leaf, range(leaf.dim() if is_sequence_like(leaf) else min(leaf.dim(), 1)))

    return pytree.tree_map(axes, inputs, is_leaf=lambda leaf: isinstance(leaf, KeysValues))


def _free_axes(tensor: Tensor, axes: Iterable[int]) -> dict[int, object]:
    return {axis: Dim.AUTO for axis in axes if tensor.shape[axis] > 1}


def batch_size(inputs: object) -> int | None:
    """Return the common size of axis 0, if every input tensor has one."""
    tensors = [t for t in pytree.tree_leaves(inputs) if isinstance(t, Tensor)]
    sizes = {t.shape[0] if t.dim() else None for t in tensors}
    return sizes.pop() if len(sizes) == 1 else None


def with_distinct_batch(inputs: Tree) -> Tree:
    """Return example inputs whose batch size is neither 1 nor the size of another axis.

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

    def rebatch(leaf: object) -> object:
        if not isinstance(leaf, Tensor):
            return leaf
        return leaf[torch.arange(wanted, device=leaf.device) % batch]

    rebatched: Tree = pytree.tree_map(rebatch, inputs)
    return rebatched


def fixed_batch_notes(
    contract: ShapeContract, inputs: object, notes: Collection[str]
) -> tuple[str, ...]:
    """Return a note if the batch size is fixed, though it was asked to be free.

    Args:
        contract: What was captured.
        inputs: The example inputs.
        notes: What is said already.
    """
    if notes or not batch_size(inputs) or any(free.axis == 0 for free in contract.free()):
        return ()
    fixed = next(fake.shape[0] for fake in contract.fakes if isinstance(fake, Tensor))
    return (f"the batch size is fixed to {int(fixed)}: the model's code uses it as a number",)


@dataclass(frozen=True)
class FreeAxis:
    """One input axis whose size may change."""

    leaf: int
    axis: int
    symbol: Symbol


class FreeSize(NamedTuple):
    """A symbolic size, and a node and axis that have it."""

    node: fx.Node
    axis: int
    size: torch.SymInt


def free_sizes(inputs: Iterable[fx.Node]) -> Iterator[FreeSize]:
    """Yield every symbolic size of the inputs' values; a size of several axes comes up for each."""
    for node in inputs:
        fake = value(node)
        for axis, size in enumerate(fake.shape if isinstance(fake, Tensor) else ()):
            if isinstance(size, torch.SymInt):
                yield FreeSize(node, axis, size)


@dataclass(frozen=True)
class ShapeContract:
    """Fixed sizes, free sizes, and the conditions on the free ones.

    `conditions` are read from the shape environment when asked for, since rules may add some.
    """

    fakes: tuple[object, ...]
    environment: ShapeEnv | None = None

    @one_at_a_time  # another thread's trace may add to the shape environment
    def free(self) -> tuple[FreeAxis, ...]:
        """Return every input axis whose size may change, with the symbol or expression of it."""
        found: list[FreeAxis] = []
        for i, fake in enumerate(self.fakes):
            if isinstance(fake, Tensor):
                for axis, size in enumerate(fake.shape):
                    if isinstance(size, torch.SymInt) and size.node.expr.free_symbols:
                        found.append(FreeAxis(i, axis, size.node.expr))
        return tuple(found)

    @one_at_a_time
    def conditions(self) -> tuple[Expression, ...]:
        """Return the conditions on free sizes under which the capture holds."""
        if self.environment is None:
            return ()
        guards = tuple(g.expr for g in self.environment.guards if not _chooses_kernel(g))
        fixed = tuple(self.environment.replacements.items())
        return (*guards, *(_equal(symbol, expr) for symbol, expr in fixed))

    def sizes(self, leaves: Sequence[object]) -> dict[Symbol, int]:
        """Return the free sizes of one call, by symbol."""
        found: dict[Symbol, int] = {}
        for free in self.free():
            leaf = leaves[free.leaf]
            if free.symbol.is_symbol and isinstance(leaf, Tensor):
                found[free.symbol] = leaf.shape[free.axis]
        return found

    def broken(self, leaves: Sequence[object]) -> str | None:
        """Return what is wrong with these inputs' shapes; None if nothing is."""
        sizes: dict[str, int] = {}
        problem = mismatch(leaves, [axes_of(fake) for fake in self.fakes], sizes)
        return problem or _broken_condition(self.conditions(), tuple(sizes.items()))


def _chooses_kernel(guard: ShapeGuard) -> bool:
    """Return whether a guard only chooses among a convolution's kernels.

    On CPUs torch takes oneDNN's from 16 samples on: the result comes faster and is the same.
    """
    place = getattr(getattr(guard, "sloc", None), "framework_loc", None)
    where = (getattr(place, "filename", ""), getattr(place, "name", ""))
    return where[0].endswith("fake_impls.py") and where[1] == "conv"


def contract_of(placeholders: Sequence[fx.Node]) -> ShapeContract:
    """Read the contract off the placeholders' fake values."""
    fakes = tuple(node.meta.get("val") for node in placeholders)
    modes = [f.fake_mode for f in fakes if isinstance(f, Tensor) and hasattr(f, "fake_mode")]
    return ShapeContract(fakes, modes[0].shape_env if modes else None)


Axes = tuple[int | str, ...]


def axes_of(fake: object) -> Axes | None:
    """Return a tensor's sizes: numbers where fixed, the text of an expression elsewhere."""
    if not isinstance(fake, Tensor):
        return None
    return tuple(axis_of(size) for size in fake.shape)


def axis_of(size: SupportsInt) -> int | str:
    """Return a size as a number, or as the text of what it depends on."""
    if not isinstance(size, torch.SymInt):
        return int(size)
    expr = size.node.expr
    return int(expr) if expr.is_number else str(expr)


def mismatch(
    leaves: Sequence[object], shapes: Sequence[Axes | None], sizes: dict[str, int]
) -> str | None:
    """Describe the first input that does not have its shape, None if all have.

    Args:
        leaves: The inputs of one call.
        shapes: For each, its sizes as `axes_of` gives them; None for an input that is no tensor.
        sizes: Filled in with the sizes of the symbols.
    """
    for i, (leaf, shape) in enumerate(zip(leaves, shapes, strict=True)):
        if shape is not None and (problem := _unlike(leaf, shape, sizes)):
            return f"input leaf {i}: {problem}"
    return None


def _unlike(leaf: object, shape: Axes, sizes: dict[str, int]) -> str | None:
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


def _equal(symbol: Symbol, expr: Expression) -> Expression:
    import sympy

    return sympy.Eq(symbol, expr)


@lru_cache(maxsize=4096)
def _broken_condition(
    conditions: tuple[Expression, ...], sizes: tuple[tuple[str, int], ...]
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
