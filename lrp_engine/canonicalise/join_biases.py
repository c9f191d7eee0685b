"""Join a weighted sum and the bias that is added to it, for the rules only.

`x @ W.t() + b` is the map that `F.linear` writes as one op, and a rule that stabilises or splits a
sum looks at the sum with its bias. The forward pass stays as it is, bit for bit: the rules see the
joined op, and its value is the one that the model computed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx
from torch.fx.node import Target

from ..capture import Captured
from ..graphs.aten import DIFFERENCE, SUM, aten
from ..graphs.nodes import VALUE_OF, value
from ..graphs.schema import bind
from ..graphs.tracing import inline, trace
from ..graphs.walk import downstream
from .rewriting import Copies, Rewritten, rewrite

# The arguments of a product that are input and weight.
_PRODUCTS: Mapping[Target, tuple[str, str]] = {
    aten.mm.default: ("self", "mat2"),
    aten.matmul.default: ("self", "other"),
}
_WITH_BIAS = {
    aten.linear.default,
    aten.conv1d.default,
    aten.conv2d.default,
    aten.conv3d.default,
}


class _Bias(NamedTuple):
    """A constant that is added to a weighted sum, or taken from it."""

    total: fx.Node
    weighted_sum: fx.Node
    bias: fx.Node


def join_biases(captured: Captured, kept: Collection[fx.Node] = ()) -> Rewritten | None:
    """Join each weighted sum without a bias with the constant that is added to its result alone.

    Requires functional ATen ops. Ensures that rules see the two as one op. A sum that is used
    elsewhere, is the result of a module, or is one of `kept` stays as it is: it has relevance of
    its own.

    Returns:
        The model on a new graph; None if there is nothing to join.
    """
    fixed = {n for nodes in captured.modules.values() for n in nodes} | set(kept)
    inputs = [port.node for port in captured.inputs]
    dependent = {*inputs, *downstream(inputs)}
    found = (_find_bias(node, dependent) for node in captured.graph.nodes if node in dependent)
    biases = {b.total: b for b in found if b and b.weighted_sum not in fixed}
    if not biases:
        return None

    def stand_in(node: fx.Node, graph: fx.Graph, copies: Copies) -> fx.Node | None:
        return _stand_in(biases[node], graph, copies) if node in biases else None

    return rewrite(captured, stand_in)


def _find_bias(node: fx.Node, dependent: set[fx.Node]) -> _Bias | None:
    """Return how a node is a weighted sum and its bias, if it is."""
    if node.target not in (SUM, DIFFERENCE) or VALUE_OF in node.meta:
        return None
    arguments = bind(node.target, node.args, node.kwargs)
    pair = (arguments["self"], arguments["other"])
    if arguments.get("alpha", 1) != 1 or not all(isinstance(n, fx.Node) for n in pair):
        return None
    for summed, bias in (pair, pair[::-1]) if node.target is SUM else (pair,):
        if bias not in dependent and _is_open(summed, dependent) and _fits(node, summed, bias):
            return _Bias(node, summed, bias)
    return None


def _is_open(node: fx.Node, dependent: set[fx.Node]) -> bool:
    """Return whether a node is a sum with constant weights, used once, that has no bias."""
    if len(node.users) != 1 or VALUE_OF in node.meta:
        return False
    if node.target in _PRODUCTS:
        x, weight = _factors(node)
        return x in dependent and weight not in dependent and value(weight).dim() == 2
    if node.target not in _WITH_BIAS:
        return False
    arguments = bind(node.target, node.args, node.kwargs)
    constant = arguments["weight"] not in dependent and arguments["input"] in dependent
    return constant and arguments["bias"] is None and value(arguments["weight"]).dim() >= 2


def _factors(product: fx.Node) -> tuple[fx.Node, fx.Node]:
    arguments = bind(product.target, product.args, product.kwargs)
    x, weight = (arguments[name] for name in _PRODUCTS[product.target])
    return x, weight


def _fits(total: fx.Node, summed: fx.Node, bias: fx.Node) -> bool:
    """Return whether a constant has one entry per output of a weighted sum, and changes no shape.

    Sizes are compared as text: comparing symbols would add guards to the capture.
    """
    out, z, b = value(total), value(summed), value(bias)
    if z.dim() < 2 or out.dtype != z.dtype or b.dtype != z.dtype:
        return False
    if list(map(str, out.shape)) != list(map(str, z.shape)):
        return False
    axis = b.dim() - 1 - _axes_behind(summed)
    sizes = [str(size) for size in b.shape]
    others = sizes[:axis] + sizes[axis + 1 :]
    return (
        axis >= 0 and sizes[axis] == str(z.shape[z.dim() - b.dim() + axis]) and set(others) <= {"1"}
    )


def _axes_behind(weighted_sum: fx.Node) -> int:
    """Return how many axes of the result come after that of the outputs."""
    if weighted_sum.target in _PRODUCTS:
        return 0
    arguments = bind(weighted_sum.target, weighted_sum.args, weighted_sum.kwargs)
    return int(value(arguments["weight"]).dim()) - 2


def _stand_in(joined: _Bias, graph: fx.Graph, copies: Copies) -> fx.Node:
    """Write a copy of the sum of both, and the joined op, which stands for its value."""
    copy = graph.node_copy(joined.total, lambda n: copies[n])
    op, arguments = _weighted_sum(joined.weighted_sum, graph, copies)
    as_row = torch.flatten if joined.total.target is SUM else _negative_row
    arguments["bias"] = _written(as_row, joined.bias, graph, copies)
    node = graph.call_function(op, tuple(arguments[a.name] for a in op._schema.arguments))
    # A preset's row names the module of the weights.
    stack = joined.weighted_sum.meta.get("nn_module_stack")
    node.meta = {**joined.total.meta, "nn_module_stack": stack, VALUE_OF: copy}
    return node


def _weighted_sum(
    node: fx.Node, graph: fx.Graph, copies: Copies
) -> tuple[torch._ops.OpOverload, dict[str, Any]]:
    """Return the op that takes a bias, and its arguments in the new graph."""
    if node.target not in _PRODUCTS:
        arguments = bind(node.target, node.args, node.kwargs)
        new = {k: copies[v] if isinstance(v, fx.Node) else v for k, v in arguments.items()}
        assert isinstance(node.target, torch._ops.OpOverload)
        return node.target, new
    x, weight = _factors(node)
    return aten.linear.default, {
        "input": copies[x],
        "weight": _written(torch.t, weight, graph, copies),
    }


def _negative_row(bias: Tensor) -> Tensor:
    return -bias.flatten()


def _written(
    function: Callable[[Tensor], Tensor], constant: fx.Node, graph: fx.Graph, copies: Copies
) -> fx.Node:
    """Write a function of a constant."""
    (made,) = inline(trace(function, [value(constant)]), graph, [copies[constant]], constant)
    assert isinstance(made, fx.Node)
    return made
