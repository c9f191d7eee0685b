"""What a value costs: bytes to keep it, work to compute it again. From shapes and kinds of ops."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx
from torch.utils import _pytree as pytree
from torch.utils.flop_counter import FlopCounterMode

from ..graphs.aten import DROPOUT, SAME_STORAGE
from ..graphs.nodes import hint, value
from ..graphs.schema import bind

# Arithmetic done in the time in which one byte is moved: tensor cores do about 200, CPUs 10 to 50.
FLOPS_PER_BYTE = 150
_ENTRYWISE = {torch.Tag.pointwise, torch.Tag.reduction}


@dataclass
class Costs:
    """Bytes and work of nodes at given `sizes` (by symbol; the example's where one is missing).

    Work is counted in bytes moved: what an op reads and writes, plus its floating-point
    operations over FLOPS_PER_BYTE. Views cost nothing.
    """

    sizes: Mapping[Any, int] = field(default_factory=dict)
    _counts: dict[Any, int] = field(default_factory=dict)
    _bytes: dict[fx.Node, int] = field(default_factory=dict)
    _work: dict[fx.Node, float] = field(default_factory=dict)
    _flops: dict[Any, int] = field(default_factory=dict)
    _owners: dict[fx.Node, fx.Node] = field(default_factory=dict)

    def count(self, size: Any) -> int:
        """A size as a number."""
        if not isinstance(size, torch.SymInt):
            return int(size)
        expression = size.node.expr
        if expression not in self._counts:
            known = expression.xreplace(dict(self.sizes))
            self._counts[expression] = (
                int(known) if getattr(known, "is_number", True) else hint(size)
            )
        return self._counts[expression]

    def bytes(self, node: fx.Node) -> int:
        """Bytes of a node's tensors."""
        if node not in self._bytes:
            self._bytes[node] = self.of(value(node))
        return self._bytes[node]

    def of(self, values: Any) -> int:
        """Bytes of all tensors among some example values."""
        tensors = [v for v in pytree.tree_leaves(values) if isinstance(v, Tensor)]
        return sum(math.prod(self._shape(v)) * v.element_size() for v in tensors)

    def work(self, node: fx.Node) -> float:
        """What computing the node takes, in bytes moved."""
        if node not in self._work:
            self._work[node] = self._computed(node)
        return self._work[node]

    def keeping(self, node: fx.Node) -> int:
        """Bytes that keeping a node takes: a view keeps all of the tensor it is a part of."""
        owner = self.owner(node)
        return self.bytes(owner) if is_keepable(owner) else self.bytes(node)

    def owner(self, node: fx.Node) -> fx.Node:
        """The node that allocated what `node` shows: itself unless it is a view."""
        if node not in self._owners:
            base = self.base(node)
            # One result of several is a piece of memory by itself.
            piece = base is None or (node.target is operator.getitem and self.base(base) is None)
            self._owners[node] = node if piece else self.owner(base)  # type: ignore[arg-type]
        return self._owners[node]

    @staticmethod
    def base(node: fx.Node) -> fx.Node | None:
        """The operand whose memory a node shows; None if it has its own."""
        if node.op != "call_function" or not node.all_input_nodes:
            return None
        views = getattr(node.target, "is_view", False) or node.target in SAME_STORAGE
        return node.all_input_nodes[0] if views or node.target is operator.getitem else None

    def _shape(self, tensor: Tensor) -> list[int]:
        return [self.count(size) for size in tensor.shape]

    def _computed(self, node: fx.Node) -> float:
        if node.op != "call_function" or self.owner(node) is not node or not self.bytes(node):
            return 0.0
        if not isinstance(node.target, torch._ops.OpOverload):
            return 0.0  # one result out of several, or arithmetic on sizes
        moved = float(self.bytes(node) + sum(map(self.bytes, node.all_input_nodes)))
        if _ENTRYWISE & set(node.target.tags):
            return moved
        return moved + self.arithmetic(node) / FLOPS_PER_BYTE

    def arithmetic(self, node: fx.Node) -> int:
        """Floating-point operations: torch's own count, the op run without data at these sizes."""
        leaves, spec = pytree.tree_flatten((node.args, node.kwargs))
        given = [self._without_data(value(leaf)) for leaf in leaves]
        key = (node.target, str(spec), tuple(map(_described, given)))
        if key not in self._flops:
            args, kwargs = pytree.tree_unflatten(given, spec)
            self._flops[key] = _flops(node.target, args, kwargs)
        return self._flops[key]

    def _without_data(self, example: Any) -> Any:
        if isinstance(example, Tensor):
            return torch.empty(self._shape(example), dtype=example.dtype, device="meta")
        return self.count(example) if isinstance(example, torch.SymInt) else example


def is_random(node: fx.Node) -> bool:
    """Whether computing a node again could differ; attention without dropout does not."""
    if torch.Tag.nondeterministic_seeded not in getattr(node.target, "tags", ()):
        return False
    arguments = bind(node.target, node.args, node.kwargs)
    return DROPOUT not in arguments or arguments[DROPOUT] != 0.0


def is_keepable(node: fx.Node) -> bool:
    """Whether a node has one value that can be kept (and not several results at once)."""
    return isinstance(value(node), (Tensor, torch.SymInt, torch.SymFloat, int, float))


def _flops(target: Any, args: Any, kwargs: Any) -> int:
    """0 for an op that does not run without data: then only the bytes it moves are counted."""
    counter = FlopCounterMode(display=False)
    try:
        with counter, torch.no_grad():
            target(*args, **kwargs)
    except Exception:
        return 0
    return counter.get_total_flops()


def _described(argument: Any) -> str:
    if isinstance(argument, Tensor):
        return f"{argument.dtype}{tuple(argument.shape)}"
    return f"{type(argument).__name__}{argument}"
