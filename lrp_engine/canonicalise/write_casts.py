"""Write out the casts of integers and booleans that torch makes on the way.

`x * count` computes with `count` as a floating-point number. Where that number is a value of the
graph, it can be a source of relevance, or be named as what it is.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, fx
from torch.fx.node import Argument

from ..capture import Captured
from ..graphs.aten import CAST
from ..graphs.nodes import is_floating, value
from ..graphs.schema import (
    Arguments,
    Operand,
    bind,
    declared_arguments,
    names_of,
    operands_of,
    pick,
    schema_of,
)
from ..graphs.walk import downstream
from ..method.op import Op
from ..method.registry import Registry
from .rewriting import Copies, rewrite

_PLACE = ("nn_module_stack", "stack_trace")  # what tells where in the model a node belongs


def write_casts(captured: Captured, registry: Registry) -> Captured:
    """Cast the integer operands of an op that has floating-point ones as well.

    Requires nothing. Ensures that an op with a floating-point operand that relevance can pass has
    no other such operand that depends on an input and is not floating-point.
    """
    dependent = {port.node for port in captured.inputs}
    dependent |= downstream(dependent).keys()

    def cast(node: fx.Node, graph: fx.Graph, copies: Copies) -> Argument:
        arguments = _arguments(node)
        wanted = [o for o in _mixed(node, arguments, registry) if pick(arguments, o) in dependent]
        if not wanted:
            return None
        dtype = value(node).dtype
        casts = {o: _cast(copies[pick(arguments, o)], dtype, node, graph) for o in wanted}
        return _call_with(casts, node, graph, copies)

    return rewrite(captured, cast).captured


def _arguments(node: fx.Node) -> Arguments:
    has_schema = schema_of(node.target) is not None
    return bind(node.target, node.args, node.kwargs) if has_schema else {}


def _mixed(node: fx.Node, arguments: Arguments, registry: Registry) -> tuple[Operand, ...]:
    """Return the operands that are not floating-point, of an op that has others which are."""
    if not isinstance(value(node), Tensor) or not is_floating(node):
        return ()
    entering = operands_of(tuple(arguments), arguments, fx.Node)
    floating = [o for o in entering if is_floating(pick(arguments, o))]
    op = registry.find(node.target, arguments, names_of(floating))
    if op is None or not any(o.name in op.operands for o in floating):
        return ()
    others = [o for o in entering if o.name in op.operands and o not in floating]
    return tuple(o for o in others if _is_number(value(pick(arguments, o)), o, op))


def _is_number(operand: object, asked: Operand, op: Op) -> bool:
    """Return whether the entries of an operand are numbers to an op, booleans among them."""
    if not isinstance(operand, Tensor):
        return False
    return operand.dtype != torch.bool or asked.name not in op.switches


def _cast(operand: Argument, dtype: torch.dtype, asks: fx.Node, graph: fx.Graph) -> fx.Node:
    assert isinstance(operand, fx.Node)
    made = graph.call_function(CAST, (operand,), {"dtype": dtype})
    made.meta = {k: v for k, v in asks.meta.items() if k in _PLACE}
    made.meta["val"] = value(operand).to(dtype)
    return made


def _call_with(
    casts: Mapping[Operand, fx.Node], node: fx.Node, graph: fx.Graph, copies: Copies
) -> fx.Node:
    """Write the same call with some operands exchanged."""

    def convert(name: str, argument: Argument) -> Argument:
        if isinstance(argument, (list, tuple)):
            return [put(Operand(name, i), entry) for i, entry in enumerate(argument)]
        return put(Operand(name), argument)

    def put(operand: Operand, argument: Argument) -> Argument:
        return casts.get(operand) or fx.node.map_arg(argument, copies.__getitem__)

    assert callable(node.target)
    names = [a.name for a in declared_arguments(node.target)]
    args = tuple(convert(name, a) for name, a in zip(names, node.args, strict=False))
    kwargs = {name: convert(name, a) for name, a in node.kwargs.items()}
    made = graph.call_function(node.target, args, kwargs)
    made.meta = dict(node.meta)
    return made
