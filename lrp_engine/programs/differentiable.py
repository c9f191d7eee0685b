"""Makes programs right under autograd: by-products without a derivative are written out.

A rule may read what an op's kernel returns beside its result, the scale of a layer norm for one.
Torch's derivative of such an op ignores that result, silently.
"""

from __future__ import annotations

from typing import Any

from torch import fx

from ..errors import InputError
from ..graphs.aten import WHOLLY_DIFFERENTIABLE, WRITTEN_OUT
from ..graphs.nodes import describe, is_floating, is_getitem, part_of, value
from ..graphs.tracing import inline, trace
from .program import Program


def made_differentiable(program: Program) -> Program:
    """Rewrites both graphs in place and returns the program.

    Raises InputError if an op's by-product is read that has no derivative.
    """
    for module in (program.forward, program.relevance):
        for node in list(module.graph.nodes):
            if is_getitem(node) and _is_by_product(node):
                _write_out(module.graph, node)
        module.graph.eliminate_dead_code()
        module.recompile()
    return program


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
    formula = WRITTEN_OUT.get(producer.target, {}).get(index)
    if formula is None:
        raise InputError(
            f"relevance reads result {index} of {describe(producer)}, which torch cannot"
            " differentiate: create_graph=True is not possible with this rule"
        )
    nodes = [a for a in producer.args if isinstance(a, fx.Node)]

    def run(*given: Any) -> Any:
        rest = iter(given)
        arguments = [next(rest) if isinstance(a, fx.Node) else a for a in producer.args]
        return formula(*arguments).to(value(node).dtype)

    with graph.inserting_before(node):
        (result,) = inline(trace(run, [value(n) for n in nodes]), graph, nodes, node)
    node.replace_all_uses_with(result)
