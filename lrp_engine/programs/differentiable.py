"""Make programs right under autograd: write out by-products that torch does not differentiate.

A rule may read a by-product of an op's kernel, the scale of a layer norm for one. Torch's
derivative of such an op ignores that result, silently.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from torch import Tensor, fx

from ..errors import InputError
from ..graphs.aten import WHOLLY_DIFFERENTIABLE, WRITTEN_OUT
from ..graphs.leftovers import short_lived
from ..graphs.modules import copy_graph
from ..graphs.nodes import describe, is_floating, is_getitem, part_of, value
from ..graphs.tracing import inline, trace
from .program import Program


def make_differentiable(program: Program) -> Program:
    """Return the same programs with by-products written as ops that torch can differentiate.

    The given programs are left as they are.

    Raises:
        InputError: relevance reads an op's by-product for which no formula is known.
    """
    return replace(
        program,
        forward=_rewrite(program.forward),
        relevance=_rewrite(program.relevance),
    )


def _rewrite(module: fx.GraphModule) -> fx.GraphModule:
    graph = copy_graph(module.graph)
    for node in list(graph.nodes):
        if is_getitem(node) and _is_by_product(node):
            _write_out(graph, node)
    graph.eliminate_dead_code()
    return short_lived(fx.GraphModule(module, graph))


def _is_by_product(node: fx.Node) -> bool:
    producer, index = part_of(node)
    if index in WRITTEN_OUT.get(producer.target, {}):
        return True
    schema = getattr(producer.target, "_schema", None)
    if index == 0 or schema is None or len(schema.returns) == 1 or not is_floating(node):
        return False
    return bool(node.users) and producer.target not in WHOLLY_DIFFERENTIABLE


def _write_out(graph: fx.Graph, node: fx.Node) -> None:
    producer, index = part_of(node)
    formula: Callable[..., Tensor] | None = WRITTEN_OUT.get(producer.target, {}).get(index)
    if formula is None:
        raise InputError(
            f"relevance reads result {index} of {describe(producer)}, which torch cannot"
            " differentiate: create_graph=True is not possible with this rule"
        )
    nodes = [a for a in producer.args if isinstance(a, fx.Node)]
    dtype = value(node).dtype

    def run(*given: Tensor) -> Tensor:
        rest = iter(given)
        arguments = [next(rest) if isinstance(a, fx.Node) else a for a in producer.args]
        return formula(*arguments).to(dtype)

    with graph.inserting_before(node):
        (result,) = inline(trace(run, [value(n) for n in nodes]), graph, nodes, node)
    node.replace_all_uses_with(result)
