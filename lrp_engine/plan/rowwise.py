"""Find the ops that treat each row (batch, position) of their operands by itself."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import torch
from torch import Tensor, fx
from torch._ops import OpOverload

from ..graphs.nodes import VALUE_OF, value
from ..graphs.schema import bind
from ..method.op import Inert, Op
from ..method.registry import Registry


class _Kind(Enum):
    ROW = "to compute one row, the op needs that row of the operand"
    WHOLE = "the operand is the same for every row"
    MIXED = "neither"


def find_row_operands(node: fx.Node, registry: Registry) -> frozenset[fx.Node] | None:
    """Return the operands of which one row is enough to compute one row of the node.

    All other operands are the same for every row. Return None if the op mixes rows, or may. Of a
    node that stands for another, these are the operands that its rule reads: its value is that
    node's.
    """
    out = value(node)
    if not isinstance(out, Tensor) or out.dim() < 2:
        return None
    if not isinstance(node.target, OpOverload):
        return None
    records = registry.records(node.target)
    if _is_entrywise(node.target, records):
        kinds = {n: _aligned(value(n), out) for n in node.all_input_nodes}
    else:
        kinds = _on_last_axis(node, records, out)
    if not kinds or _Kind.MIXED in kinds.values():
        return None
    return frozenset(n for n, kind in kinds.items() if kind is _Kind.ROW)


def find_row_only_nodes(graph: fx.Graph, output: fx.Node, registry: Registry) -> frozenset[fx.Node]:
    """Return the nodes that need computing at one row only if the output is wanted there only."""
    rows, whole = {output}, set[fx.Node]()
    for node in reversed(graph.nodes):
        behind = [node.meta[VALUE_OF]] if VALUE_OF in node.meta else []
        if node.op != "call_function" or value(node) is None or node in whole:
            whole.update([*node.all_input_nodes, *behind] if node.op != "output" else ())
        elif node in rows:
            needed = find_row_operands(node, registry)
            if needed is None:
                whole.add(node)
            (rows if needed is not None else whole).update(behind)
            for operand in node.all_input_nodes:
                (rows if needed and operand in needed else whole).add(operand)
    return frozenset(n for n in rows - whole if n.op == "call_function")


def _is_entrywise(target: OpOverload, records: Sequence[Op]) -> bool:
    known = any(op.elementwise or isinstance(op, Inert) for op in records)
    return known or torch.Tag.pointwise in target.tags


def _aligned(operand: object, out: Tensor) -> _Kind:
    """Classify an operand of an entrywise op, which broadcasts from the last axis.

    Sizes are compared as text: comparing symbols would add guards to the capture.
    """
    if not isinstance(operand, Tensor):
        return _Kind.WHOLE
    axis = 1 - (out.dim() - operand.dim())  # of the operand, along the output's positions
    if axis < 0 or str(operand.shape[axis]) == "1":
        return _Kind.WHOLE
    return _Kind.ROW if axis == 1 and _has_rows(operand, out) else _Kind.MIXED


def _on_last_axis(node: fx.Node, records: Sequence[Op], out: Tensor) -> dict[fx.Node, _Kind]:
    """Classify the operands of an op that a record calls rowwise: the first has the rows."""
    op = next((op for op in records if op.rowwise is not None), None)
    arguments = bind(node.target, node.args, node.kwargs)
    first = arguments[op.operands[0]] if op else None
    if op is None or op.rowwise is None or not isinstance(first, fx.Node):
        return {}
    example = value(first)
    if example.dim() < 3 or not _has_rows(example, out) or not op.rowwise(arguments):
        return {}
    kinds = dict.fromkeys(node.all_input_nodes, _Kind.WHOLE)
    return kinds | {first: _Kind.ROW}


def _has_rows(operand: Tensor, out: Tensor) -> bool:
    """Compare batch and positions."""
    same = [str(a) == str(b) for a, b in zip(operand.shape[:2], out.shape[:2], strict=True)]
    return len(same) == 2 and all(same)
