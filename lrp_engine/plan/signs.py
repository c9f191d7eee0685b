"""Find values that have no entry below zero, from what ops declare.

Rules that treat positive and negative contributions apart have half the work there.
"""

from __future__ import annotations

from torch import fx

from ..graphs.nodes import VALUE_OF, is_getitem
from ..graphs.schema import bind
from ..method.claims import Known
from ..method.registry import Registry


def find_never_negative(graph: fx.Graph, registry: Registry) -> frozenset[fx.Node]:
    """Return the values of a graph that are known to have no entry below zero."""
    found: set[fx.Node] = set()

    def known(argument: object) -> bool:
        if isinstance(argument, (list, tuple)):
            return all(map(known, argument))
        return argument in found if isinstance(argument, fx.Node) else _is_number(argument)

    for node in graph.nodes:
        if node.op == "call_function" and VALUE_OF not in node.meta:
            sure = known(node.args[0]) if is_getitem(node) else _declared(node, registry, known)
            found |= {node} if sure else set()
    return frozenset(found)


def _is_number(argument: object) -> bool:
    return isinstance(argument, (int, float)) and argument >= 0


def _declared(node: fx.Node, registry: Registry, known: Known) -> bool:
    declared = [op.never_negative for op in registry.records(node.target) if op.never_negative]
    if not declared:
        return False
    arguments = bind(node.target, node.args, node.kwargs)
    return any(holds(arguments, known) for holds in declared)
