"""Find ops at which c = 0 times an infinite or undefined slope may arise, from what ops declare.

`0 * inf` is no number, so there c = 0 is passed on as 0 by an op of its own. Everywhere else, as in
all ops of a usual transformer, that op would be a waste.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, fx
from torch.utils import _pytree as pytree

from ..capture import Captured
from ..graphs.loops import find_loops
from ..graphs.nodes import VALUE_OF, is_floating, is_getitem
from ..graphs.schema import Arguments, bind
from ..method.claims import always
from ..method.op import Op
from ..method.registry import Registry
from ..method.zeros import can_absorb


@dataclass
class Infinities:
    """The values that may hold infinite or undefined entries although all inputs are finite.

    `positive` holds values of which every entry is known to be above zero; `tensors` are the
    model's own, of which constants are looked at.
    """

    registry: Registry
    tensors: Mapping[str, Tensor]
    infinite: set[fx.Node] = field(default_factory=set)
    positive: set[fx.Node] = field(default_factory=set)

    @classmethod
    def of(
        cls, captured: Captured, registry: Registry, never_negative: frozenset[fx.Node]
    ) -> Infinities:
        """Walk along a graph; `never_negative` are the values with no entry below zero."""
        found = cls(registry, captured.tensors)
        loops = find_loops(captured.graph)
        while True:
            for node in captured.graph.nodes:
                found._visit(node, never_negative)
            handed = (pair for loop in loops for pair in zip(loop.after, loop.before, strict=True))
            more = {before for after, before in handed if after in found.infinite}
            if more <= found.infinite:
                return found
            found.infinite |= more

    def needs_absorbing(self, op: Op, arguments: Arguments) -> bool:
        """Return whether a rule of this call may multiply c = 0 by what is not finite."""
        if not can_absorb(op):
            return False
        return not self._is_regular(op, arguments) or self._reads_infinite(arguments)

    def _visit(self, node: fx.Node, never_negative: frozenset[fx.Node]) -> None:
        if not is_floating(node) and not is_getitem(node):
            return
        if node.op == "get_attr":
            self._look_at(node)
        elif is_getitem(node) or VALUE_OF in node.meta:
            self.infinite |= {node} if self.infinite.intersection(node.all_input_nodes) else set()
        elif node.op == "call_function" and hasattr(node.target, "_schema"):
            self._judge(node, never_negative)

    def _judge(self, node: fx.Node, never_negative: frozenset[fx.Node]) -> None:
        arguments = bind(node.target, node.args, node.kwargs)
        records = self.registry.records(node.target)
        judged = [op for op in records if can_absorb(op)]
        breaks = judged and not any(self._is_regular(op, arguments) for op in judged)
        if not any(op.bounded for op in records) and (breaks or self._reads_infinite(arguments)):
            self.infinite.add(node)
        if node in never_negative and any(self._lifts(op, arguments) for op in records):
            self.positive.add(node)

    def _look_at(self, node: fx.Node) -> None:
        """Look at a constant of the model; parameters are taken for finite, and for any number."""
        tensor = self.tensors.get(str(node.target))
        if tensor is None or isinstance(tensor, torch.nn.Parameter) or tensor.is_meta:
            return
        if not bool(torch.isfinite(tensor).all()):
            self.infinite.add(node)
        elif bool((tensor > 0).all()):
            self.positive.add(node)

    def _is_regular(self, op: Op, arguments: Arguments) -> bool:
        return op.regular is not None and op.regular(arguments, self._never_zero)

    def _lifts(self, op: Op, arguments: Arguments) -> bool:
        """Return whether a result that is not negative is positive, too."""
        if op.positive is not None:
            return op.positive(arguments, self._is_positive)
        claim = op.never_negative
        return claim is not None and claim is not always and claim(arguments, self._is_positive)

    def _never_zero(self, argument: object) -> bool:
        if isinstance(argument, (int, float)):
            return argument != 0 and math.isfinite(argument)
        return self._is_positive(argument)

    def _is_positive(self, argument: object) -> bool:
        if isinstance(argument, (int, float)):
            return argument > 0
        if isinstance(argument, (list, tuple)):
            return all(map(self._is_positive, argument))
        return argument in self.positive if isinstance(argument, fx.Node) else False

    def _reads_infinite(self, arguments: Arguments) -> bool:
        leaves = pytree.tree_leaves(dict(arguments))
        return any(_is_infinite(leaf) or self._holds_infinite(leaf) for leaf in leaves)

    def _holds_infinite(self, leaf: object) -> bool:
        return isinstance(leaf, fx.Node) and leaf in self.infinite


def _is_infinite(leaf: object) -> bool:
    return isinstance(leaf, float) and not math.isfinite(leaf)
