"""Find quantise-dequantise by its dataflow: codes, and the scales and zero points around them.

What is divided by a scale, rounded and multiplied by the scale again is what it was, up to
rounding. So relevance belongs to the value and none to the scale, even where the scale was computed
from the value: its largest entry would take half of all relevance otherwise, or all of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from torch import Tensor, fx

from ..graphs.nodes import hint, is_floating, is_getitem, value
from ..graphs.schema import Arguments, Operand, bind, operands_of, pick, schema_of
from ..graphs.walk import closure, downstream
from ..method.op import (
    Homogeneous,
    Linear,
    Normaliser,
    Op,
    Product,
    Quotient,
    Rounding,
    Selection,
    Stop,
)
from ..method.registry import Registry


@dataclass(frozen=True)
class Quantisation:
    """The values of a graph that are scales or zero points, and those that are computed in codes.

    `limits` are the ops that cut codes off at the ends of their range.
    """

    scales: frozenset[fx.Node] = frozenset()
    codes: frozenset[fx.Node] = frozenset()
    limits: frozenset[fx.Node] = frozenset()

    def without_scales(
        self, node: fx.Node, arguments: Arguments, live: tuple[Operand, ...]
    ) -> tuple[Operand, ...]:
        """Return the live operands of an op on codes, without scales and zero points."""
        nodes = [pick(arguments, operand) for operand in live]
        in_codes = [n in self.codes and n not in self.scales for n in nodes]
        if node not in self.codes and not any(in_codes):
            return live
        kept = tuple(o for o, n in zip(live, nodes, strict=True) if n not in self.scales)
        return kept or live


@dataclass
class _Search:
    """Walks from every rounding op back to the scale that its operand was divided by."""

    graph: fx.Graph
    registry: Registry
    ops: dict[fx.Node, Op | None] = field(default_factory=dict)
    roots: set[fx.Node] = field(default_factory=set)
    steps: set[fx.Node] = field(default_factory=set)

    def op(self, node: fx.Node) -> Op | None:
        """Return the record of a node's op, if it has one."""
        if node not in self.ops:
            known = schema_of(node.target) is not None and node.op == "call_function"
            arguments = bind(node.target, node.args, node.kwargs) if known else {}
            self.ops[node] = (
                self.registry.find(node.target, arguments, frozenset()) if known else None
            )
        return self.ops[node]

    def operands(self, node: fx.Node) -> tuple[fx.Node, ...]:
        """Return the tensors that an op computes with."""
        op = self.op(node)
        if op is None:
            return ()
        arguments = bind(node.target, node.args, node.kwargs)
        return tuple(pick(arguments, o) for o in operands_of(op.operands, arguments, fx.Node))

    def roundings(self) -> list[fx.Node]:
        """Return all rounding ops of the graph."""
        return [n for n in self.graph.nodes if is_rounding(n, self.registry)]

    def follow_back(self, node: fx.Node) -> None:
        """Mark the steps before a rounding op, up to the division by a scale."""
        while True:
            op, operands = self.op(node), self.operands(node)
            scale = self._divisor(node, op, operands)
            if scale is not None:
                self.steps.add(node)
                self.roots.update(self._roots(scale))
                return
            if not operands or not (_is_sum(op) or self._is_entrywise(node)):
                return
            self.steps.add(node)
            node = max(operands, key=_size)

    def _divisor(
        self, node: fx.Node, op: Op | None, operands: tuple[fx.Node, ...]
    ) -> fx.Node | None:
        """Return the scale that a node divides by, or multiplies by the inverse of."""
        if len(operands) != 2:
            return None
        if isinstance(op, Quotient):
            small = operands[1]
        elif isinstance(op, Product) and op.elementwise:
            small = min(operands, key=_size)
        else:
            return None
        tops = self._tops(small)
        if not all(_size(top) < _size(node) for top in tops):
            return None
        measured = all(self._is_statistic(top) for top in tops)
        return small if isinstance(op, Quotient) or measured else None

    def _roots(self, scale: fx.Node) -> Iterable[fx.Node]:
        tops = self._tops(scale)
        return tops if all(self._is_statistic(top) for top in tops) else [scale]

    def _tops(self, scale: fx.Node) -> list[fx.Node]:
        """Return what a scale is computed from entry by entry."""
        found = closure([scale], self._entries, stop=lambda n: not self._is_entrywise(n))
        return [n for n in found if not self._is_entrywise(n)] or [scale]

    def _entries(self, node: fx.Node) -> Iterator[fx.Node]:
        """Yield the floating-point operands that are no constants."""
        for n in self.operands(node):
            if is_floating(n) and n.op != "get_attr" and not isinstance(self.op(n), Stop):
                yield n

    def _is_statistic(self, node: fx.Node) -> bool:
        """Return whether a node measures the size of a tensor: its largest entry, a norm."""
        source = node.args[0] if is_getitem(node) else node
        op = self.op(source) if isinstance(source, fx.Node) else None
        if not isinstance(op, (Selection, Homogeneous, Linear)):
            return False
        return all(_size(node) < _size(n) for n in self.operands(source))  # type: ignore[arg-type]

    def _is_entrywise(self, node: fx.Node) -> bool:
        op = self.op(node)
        if op is None or isinstance(op, Rounding):
            return op is not None
        if op.elementwise or op.moves_entries or isinstance(op, Normaliser):
            return True
        sizes = [_size(n) for n in self.operands(node)]
        return isinstance(op, (Linear, Selection)) and max(sizes, default=0) <= _size(node)

    def scales(self) -> set[fx.Node]:
        """Return everything that is computed from scales entry by entry."""
        found = set(self.roots)
        for node in self.graph.nodes:
            inputs = list(self._entries(node))
            if node not in found and inputs and self._is_entrywise(node):
                found.update([node] if found.issuperset(inputs) else [])
        return found

    def limits(self, codes: set[fx.Node]) -> Iterator[fx.Node]:
        """Yield the limits that codes, or what is rounded next, are held to."""
        for node in codes:
            op = self.op(node)
            if (
                isinstance(op, Selection)
                and op.inclusive
                and (node in self.steps or self._whole(node))
            ):
                yield node

    def _whole(self, node: fx.Node) -> bool:
        """Return whether a limit's operand was rounded just before."""
        before = self.operands(node)[:1]
        while before and (_is_sum(self.op(before[0])) or self._is_only_moved(before[0])):
            before = tuple(sorted(self.operands(before[0]), key=_size)[-1:])
        return bool(before) and isinstance(self.op(before[0]), Rounding)

    def _is_only_moved(self, node: fx.Node) -> bool:
        op = self.op(node)
        return op is not None and (op.moves_entries or op.idle_if_same_layout)


def find_quantisation(graph: fx.Graph, registry: Registry) -> Quantisation:
    """Find the scales, codes and limits around every rounding op of a graph."""
    search = _Search(graph, registry)
    roundings = search.roundings()
    if not roundings:
        return Quantisation()
    for node in roundings:
        for operand in search.operands(node)[:1]:
            search.follow_back(operand)
    codes = search.steps | set(roundings) | set(_codes(search, roundings))
    scales = search.scales()
    limits = frozenset(search.limits(codes))
    return Quantisation(frozenset(scales), frozenset(codes), limits)


def _codes(search: _Search, roundings: list[fx.Node]) -> Iterable[fx.Node]:
    return (n for n in downstream(roundings) if is_floating(n))


def is_rounding(node: fx.Node, registry: Registry) -> bool:
    """Return whether a node's op rounds."""
    return any(isinstance(op, Rounding) for op in registry.ops.get(node.target, ()))


def _is_sum(op: Op | None) -> bool:
    return isinstance(op, Linear) and op.elementwise


def _size(node: fx.Node) -> int:
    tensor = value(node)
    if not isinstance(tensor, Tensor):
        return 0
    count = 1
    for size in tensor.shape:
        count *= hint(size)
    return count
