"""Copy the calls of an exported program; resolve ops that may or may not copy their operand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import fx
from torch._ops import OpOverload
from torch.fx.node import Argument

from ..graphs.aten import DETACH, INDEX, LIFTED, ONES_LIKE, PRODUCT, SIZE
from ..graphs.decomposition import Traces, is_composite, write_parts
from ..graphs.nodes import holds_tensors, is_getitem, part_of, value
from .in_place import Write, is_dropout, may_alias_silently, only_detaches
from .shape_contract import free_sizes

_MASKS = (torch.bool, torch.uint8)

Args = tuple[Argument, ...]
Kwargs = dict[str, Argument]


@dataclass
class Copier:
    """A graph under construction, with what each node of the exported program becomes in it.

    Composite ops that may or may not copy (`reshape`, `to`, `contiguous`, dropout) are written as
    what they do at these shapes: a view, a copy, nothing. Those that compute stay whole. An op that
    writes into its operand becomes one that returns the new value. Sizes are read off the inputs.
    """

    graph: fx.Graph
    writes: Mapping[fx.Node, Write]
    copies: dict[fx.Node, Argument] = field(default_factory=dict)
    _sizes: dict[str, fx.Node] = field(default_factory=dict)
    _traces: Traces = field(default_factory=dict)

    def call(self, node: fx.Node) -> None:
        """Copy one call."""
        if node in self.writes:
            write = self.writes[node]
            self.copies.update(dict.fromkeys(write.names, self._returned(node, write)))
        else:
            self.copies[node] = self._copy(node)

    def name_sizes(self, inputs: Iterable[fx.Node]) -> None:
        """Read every free size off an input; sizes that nothing uses are removed as dead code."""
        for node, axis, size in free_sizes(inputs):
            if str(size) not in self._sizes:
                made = self.graph.call_function(SIZE, (node, axis))
                made.meta["val"] = size
                self._sizes[str(size)] = made

    def _copy(self, node: fx.Node) -> Argument:
        if node.target is SIZE and not _is_decided_by_data(node.args[0]):
            known = self._size(value(node))
            return self._copy_as_is(node) if known is None else known
        if only_detaches(node):
            return self._detached(node)
        if is_getitem(node):
            producer, index = part_of(node)
            results = self.copies[producer]
            return results[index] if isinstance(results, list) else self._copy_as_is(node)
        if is_dropout(node):
            return self._draw_apart(node)
        if _is_undecided(node):
            return self._parts(node)
        return self._copy_as_is(node)

    def _detached(self, node: fx.Node) -> Argument:
        """Write a detachment in place as one that returns; from here on, its operand is that."""
        (operand,) = node.all_input_nodes
        if operand.target is LIFTED:
            return self.copies[operand]  # a constant: torch writes this for torch.tensor(...)
        made = self.graph.call_function(DETACH, (self.copies[operand],))
        made.meta = dict(node.meta)
        self.copies[operand] = made
        return made

    def _copy_as_is(self, node: fx.Node) -> fx.Node:
        copy = self.graph.node_copy(node, lambda n: self.copies[n])
        if isinstance(value(node), torch.SymInt):
            self._sizes.setdefault(str(value(node)), copy)
        return copy

    def _size(self, size: object) -> int | fx.Node | None:
        """Return a size that is known without the tensor that has it; None for all else."""
        if not isinstance(size, (int, torch.SymInt)):
            return None
        fixed = isinstance(size, int) or size.node.expr.is_number
        return int(size) if fixed else self._sizes.get(str(size))

    def _returned(self, node: fx.Node, write: Write) -> fx.Node:
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), lambda n: self.copies[n])
        made = self.graph.call_function(write.op, args, kwargs)
        made.meta = dict(node.meta)
        return made

    def _draw_apart(self, node: fx.Node) -> fx.Node:
        """Write dropout as a product with what it makes of ones: draws are apart from the data.

        The same numbers are drawn as by the model, whatever kernel it takes on its device.
        """
        operand, *rest = node.args
        assert isinstance(operand, fx.Node)
        assert isinstance(node.target, OpOverload)
        copy = self.copies[operand]
        ones = self.graph.call_function(ONES_LIKE, (copy,))
        draw = self.graph.call_function(node.target, (ones, *rest), node.kwargs)
        product = self.graph.call_function(PRODUCT, (copy, draw))
        for made in (ones, draw, product):
            made.meta = dict(node.meta)
        return product

    def _parts(self, node: fx.Node) -> Argument:
        op = node.target
        assert isinstance(op, OpOverload)

        def emit(
            target: Callable[..., object], args: Args, kwargs: Kwargs, val: object
        ) -> fx.Node | int:
            if (known := self._size(val)) is not None:
                return known
            made = self.graph.call_function(target, args, kwargs)
            made.meta = {**node.meta, "val": val}
            return made

        parts: Argument = write_parts(
            node, op.decompose, self.graph, self.copies, self._traces, emit
        )
        return parts


def _is_decided_by_data(node: Argument) -> bool:
    """Return whether the entries of operands decide a result's shape: a boolean index, nonzero.

    Where such a size must equal another, torch.export asserts it. Read off anything else, it would
    be compared with itself; eager torch would broadcast, and relevance have the wrong shape.
    """
    if not isinstance(node, fx.Node) or not isinstance(node.target, OpOverload):
        return False
    if torch.Tag.dynamic_output_shape not in node.target.tags:
        return False
    indices = [v for v in map(value, node.all_input_nodes[1:]) if isinstance(v, torch.Tensor)]
    return node.target is not INDEX or any(v.dtype in _MASKS for v in indices)


def _is_undecided(node: fx.Node) -> bool:
    """Return whether only the op's kernel decides if its result is a copy."""
    op = node.target
    if not isinstance(op, OpOverload) or not is_composite(op) or not holds_tensors(node):
        return False
    return may_alias_silently(op) or any(a.alias_info is not None for a in op._schema.arguments)
