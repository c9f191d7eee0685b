"""Let rules see integer codes as the numbers that they are: int8 activations, int32 sums.

The forward pass stays as it is, to the bit. Beside the integer ops between a cast to integers and
the cast back stand the same ops on floating-point numbers, whose values are those that the model
computed. They pass on relevance as in a net that was not quantised. Integers that become an index
are no numbers, and are left alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx
from torch.fx.node import Argument, Target

from ..capture import Captured
from ..graphs.aten import CAST, aten
from ..graphs.nodes import VALUE_OF, is_floating, value
from ..graphs.schema import Arguments, bind, declared_arguments, operands_of, pick, schema_of
from ..graphs.walk import downstream
from ..method.op import Linear, Op, Stop
from ..method.registry import Registry
from .rewriting import Copies, rewrite

_FLOATING: Mapping[Target, Any] = {aten._int_mm.default: aten.mm.default}
_ROUNDED = {"floor": aten.floor.default, "trunc": aten.trunc.default}


def show_codes_as_numbers(captured: Captured, registry: Registry) -> Captured:
    """Write the integer ops from a cast to integers to the cast back once more, as numbers.

    Requires that casts are written out. Ensures that a floating-point value reaches another one
    through integers only where these choose or count.
    """
    inputs = [port.node for port in captured.inputs]
    writer = _Writer(registry, {*inputs, *downstream(inputs)})
    return rewrite(captured, writer.write).captured


@dataclass
class _Writer:
    """Writes stand-ins; `numbers` holds those of integer nodes, by node of the old graph."""

    registry: Registry
    dependent: set[fx.Node]
    numbers: dict[fx.Node, fx.Node] = field(default_factory=dict)

    def write(self, node: fx.Node, graph: fx.Graph, copies: Copies) -> Argument:
        """Copy a node; return what rules see in its place."""
        tensor = value(node)
        if schema_of(node.target) is None or not isinstance(tensor, Tensor):
            return None
        arguments = bind(node.target, node.args, node.kwargs)
        if node not in self.dependent or tensor.dtype is torch.bool or tensor.dtype.is_complex:
            return None
        op = self._record(node, arguments)
        if tensor.dtype.is_floating_point:
            return self._floating(node, op, arguments, graph, copies)
        copy = graph.node_copy(node, lambda n: copies[n])
        number = self._number(node, op, arguments, graph, copies)
        if number is not None:
            self.numbers[node] = self._standing_for(number, copy, graph)
        return copy

    def _record(self, node: fx.Node, arguments: Arguments) -> Op | None:
        target = _FLOATING.get(node.target, node.target)
        return self.registry.find(target, arguments, frozenset())

    def _floating(
        self, node: fx.Node, op: Op | None, arguments: Arguments, graph: fx.Graph, copies: Copies
    ) -> Argument:
        """Return what stands for a cast of codes, or for a division that rounds."""
        if isinstance(op, Stop) and "rounding_mode" in arguments and is_floating_call(node):
            steps = self._call(aten.div.Tensor, node.args, {}, node, graph, copies)
            rounded = _ROUNDED[arguments["rounding_mode"]]
            made = graph.call_function(rounded, (steps,))
        elif _is_cast(op) and arguments["self"] in self.numbers:
            dtype = value(node).dtype
            made = graph.call_function(CAST, (self.numbers[arguments["self"]],), {"dtype": dtype})
        else:
            return None
        with graph.inserting_before(made):
            copy = graph.node_copy(node, lambda n: copies[n])
        made.meta = {**node.meta, VALUE_OF: copy}
        return made

    def _number(
        self, node: fx.Node, op: Op | None, arguments: Arguments, graph: fx.Graph, copies: Copies
    ) -> fx.Node | None:
        """Write an integer op on numbers; None if no codes enter it, or it does not compute."""
        if op is None or isinstance(op, Stop):
            return None
        if _is_cast(op):
            return self._cast(node, arguments["self"], graph, copies)
        operands = operands_of(op.operands, arguments, fx.Node)
        if not any(pick(arguments, o) in self.numbers for o in operands):
            return None
        target = _FLOATING.get(node.target, node.target)
        plain = {k: v for k, v in node.kwargs.items() if k != "dtype"}
        names = {o.name for o in operands}
        return self._call(target, node.args, plain, node, graph, copies, names)

    def _cast(
        self, node: fx.Node, operand: fx.Node, graph: fx.Graph, copies: Copies
    ) -> fx.Node | None:
        if operand in self.numbers:
            return self._made(aten.trunc.default, (self.numbers[operand],), node, graph)
        if not is_floating(operand):
            return None
        wide = self._cast_to(copies[operand], operand, node, graph)
        return self._made(aten.trunc.default, (wide,), node, graph)

    def _call(
        self,
        target: Any,
        args: tuple[Argument, ...],
        kwargs: Mapping[str, Argument],
        node: fx.Node,
        graph: fx.Graph,
        copies: Copies,
        computed: frozenset[str] | set[str] = frozenset(),
    ) -> fx.Node:
        """Write a call with numbers in place of codes and of other integers in it."""
        schema = declared_arguments(node.target)

        def convert(name: str, argument: Argument) -> Argument:
            def put(n: fx.Node) -> Argument:
                if n in self.numbers:
                    return self.numbers[n]
                counts = name in computed and not is_floating(n)
                return self._cast_to(copies[n], n, node, graph) if counts else copies[n]

            return fx.node.map_arg(argument, put)

        new = tuple(convert(a.name, v) for a, v in zip(schema, args, strict=False))
        return self._made(target, new, node, graph, {k: convert(k, v) for k, v in kwargs.items()})

    def _cast_to(
        self, copy: Argument, original: fx.Node, node: fx.Node, graph: fx.Graph
    ) -> fx.Node:
        if value(original).dtype is _wide(value(original).dtype):
            assert isinstance(copy, fx.Node)
            return copy
        made = graph.call_function(CAST, (copy,), {"dtype": _wide(value(original).dtype)})
        made.meta = {**node.meta, "val": value(original).to(_wide(value(original).dtype))}
        return made

    def _made(
        self,
        target: Any,
        args: tuple[Argument, ...],
        node: fx.Node,
        graph: fx.Graph,
        kwargs: Mapping[str, Argument] | None = None,
    ) -> fx.Node:
        made = graph.call_function(target, args, dict(kwargs or {}))
        made.meta = {**node.meta, "val": value(node).to(_wide(value(node).dtype))}
        return made

    def _standing_for(self, number: fx.Node, copy: fx.Node, graph: fx.Graph) -> fx.Node:
        """Let a number stand for the codes that the model computed."""
        with graph.inserting_before(number):
            known = graph.call_function(CAST, (copy,), {"dtype": value(number).dtype})
        known.meta = {**copy.meta, "val": value(number)}
        number.meta[VALUE_OF] = known
        return number


def is_floating_call(node: fx.Node) -> bool:
    """Return whether every tensor that a call reads is floating-point."""
    return all(map(is_floating, node.all_input_nodes))


def _is_cast(op: Op | None) -> bool:
    return isinstance(op, Linear) and op.elementwise and op.idle_if_same_layout


def _wide(dtype: torch.dtype) -> torch.dtype:
    """Return float32, or the dtype itself if that is wider: exact for codes up to 2^24."""
    return dtype if dtype in (torch.float32, torch.float64) else torch.float32
