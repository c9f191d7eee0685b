"""Estimate costs from shapes and kinds of ops: bytes to keep a value, work to recompute it."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import SupportsInt, TypeAlias

import torch
from torch import Tensor, fx
from torch.utils import _pytree as pytree
from torch.utils.flop_counter import FlopCounterMode

from ..graphs.aten import SAME_STORAGE
from ..graphs.nodes import hint, value
from ..graphs.randomness import is_random

# Arithmetic done in the time in which one byte is moved: tensor cores do about 200, CPUs 10 to 50.
FLOPS_PER_BYTE = 150
_ENTRYWISE = {torch.Tag.pointwise, torch.Tag.reduction}

SymbolSizes: TypeAlias = Mapping[Hashable, int]
"""Sizes by symbol, where the symbols are those of the capture's symbolic shapes."""


@dataclass
class Costs:
    """Bytes and work of nodes at given `sizes` (by symbol; the example's where one is missing).

    Work is counted in bytes moved: what an op reads and writes, plus its floating-point
    operations over FLOPS_PER_BYTE. Views cost nothing.
    """

    sizes: SymbolSizes = field(default_factory=dict)
    _sizes: dict[Hashable, int] = field(default_factory=dict)
    _bytes: dict[fx.Node, int] = field(default_factory=dict)
    _work: dict[fx.Node, float] = field(default_factory=dict)
    _flops: dict[Hashable, int] = field(default_factory=dict)
    _owners: dict[fx.Node, fx.Node] = field(default_factory=dict)

    def size_as_int(self, size: SupportsInt) -> int:
        """Return a possibly symbolic size as a number."""
        if not isinstance(size, torch.SymInt):
            return int(size)
        expression = size.node.expr
        if expression not in self._sizes:
            known = expression.xreplace(dict(self.sizes))
            self._sizes[expression] = (
                int(known) if getattr(known, "is_number", True) else hint(size)
            )
        return self._sizes[expression]

    def bytes(self, node: fx.Node) -> int:
        """Return the bytes of a node's tensors."""
        if node not in self._bytes:
            self._bytes[node] = self.bytes_of_values(value(node))
        return self._bytes[node]

    def bytes_of_values(self, values: object) -> int:
        """Return the bytes of all tensors among some example values (any pytree)."""
        tensors = [v for v in pytree.tree_leaves(values) if isinstance(v, Tensor)]
        return sum(math.prod(self._shape(v)) * v.element_size() for v in tensors)

    def work(self, node: fx.Node) -> float:
        """Return the work of computing a node, in bytes moved."""
        if node not in self._work:
            self._work[node] = self._compute_work(node)
        return self._work[node]

    def bytes_to_keep(self, node: fx.Node) -> int:
        """Return the bytes that keeping a node takes: a view keeps the whole tensor behind it."""
        owner = self.owner(node)
        return self.bytes(owner) if is_keepable(owner) else self.bytes(node)

    def owner(self, node: fx.Node) -> fx.Node:
        """Return the node that allocated the memory of `node`: itself unless it is a view."""
        if node not in self._owners:
            base = self.base(node)
            # One result of several is a piece of memory by itself.
            if base is None or (node.target is operator.getitem and self.base(base) is None):
                self._owners[node] = node
            else:
                self._owners[node] = self.owner(base)
        return self._owners[node]

    @staticmethod
    def base(node: fx.Node) -> fx.Node | None:
        """Return the operand whose memory a node shares; None if it has its own."""
        if node.op != "call_function" or not node.all_input_nodes:
            return None
        views = getattr(node.target, "is_view", False) or node.target in SAME_STORAGE
        return node.all_input_nodes[0] if views or node.target is operator.getitem else None

    def flops(self, node: fx.Node) -> int:
        """Return torch's own count of floating-point operations, of the op run without data."""
        leaves, spec = pytree.tree_flatten((node.args, node.kwargs))
        given = [self._without_data(value(leaf)) for leaf in leaves]
        key = (node.target, str(spec), tuple(map(_describe, given)))
        if key not in self._flops:
            args, kwargs = pytree.tree_unflatten(given, spec)
            assert callable(node.target)
            self._flops[key] = _count_flops(node.target, args, kwargs)
        return self._flops[key]

    def _shape(self, tensor: Tensor) -> list[int]:
        return [self.size_as_int(size) for size in tensor.shape]

    def _compute_work(self, node: fx.Node) -> float:
        if node.op != "call_function" or self.owner(node) is not node or not self.bytes(node):
            return 0.0
        if not isinstance(node.target, torch._ops.OpOverload):
            return 0.0  # one result out of several, or arithmetic on sizes
        moved = float(self.bytes(node) + sum(map(self.bytes, node.all_input_nodes)))
        # A random op is not tried out: it could draw from the user's generator.
        if is_random(node) or _ENTRYWISE & set(node.target.tags):
            return moved
        return moved + self.flops(node) / FLOPS_PER_BYTE

    def _without_data(self, example: object) -> object:
        if isinstance(example, Tensor):
            return torch.empty(self._shape(example), dtype=example.dtype, device="meta")
        return self.size_as_int(example) if isinstance(example, torch.SymInt) else example


def is_keepable(node: fx.Node) -> bool:
    """Return whether a node has one value that can be kept (and not several results at once)."""
    return isinstance(value(node), (Tensor, torch.SymInt, torch.SymFloat, int, float))


def _count_flops(
    target: Callable[..., object], args: Sequence[object], kwargs: Mapping[str, object]
) -> int:
    """Return 0 for an op that does not run without data: then only its bytes are counted."""
    counter = FlopCounterMode(display=False)
    try:
        with counter, torch.no_grad():
            target(*args, **kwargs)
    except Exception:
        return 0
    return counter.get_total_flops()


def _describe(argument: object) -> str:
    if isinstance(argument, Tensor):
        return f"{argument.dtype}{tuple(argument.shape)}"
    return f"{type(argument).__name__}{argument}"
