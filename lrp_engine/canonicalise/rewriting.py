"""Copy a captured graph while replacing some of its nodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NamedTuple

from torch import fx
from torch.fx.node import Argument

from ..capture import Captured
from ..graphs.nodes import VALUE_OF

Copies = dict[fx.Node, Argument]
Replacement = Callable[[fx.Node, fx.Graph, Copies], Argument]


class Rewritten(NamedTuple):
    """A captured model on another graph, and what each node of the old graph has become there."""

    captured: Captured
    copies: Copies


def rewrite(captured: Captured, replacement: Replacement) -> Rewritten:
    """Copy a captured model to a new graph, with some of its nodes replaced.

    Args:
        captured: The model; it is not changed.
        replacement: `replacement(node, new graph, copies)` returns what the new graph uses in place
            of an op, or None to copy it.
    """
    graph = fx.Graph()
    copies: Copies = {}
    for node in captured.graph.nodes:
        stand_in = None if node.op != "call_function" else replacement(node, graph, copies)
        if stand_in is None:
            stand_in = graph.node_copy(node, lambda n: copies[n])
        copies[node] = stand_in
    follow_values(captured.graph, copies)
    sweep(graph)
    return Rewritten(remap(captured, graph, copies), copies)


def follow_values(old: fx.Graph, copies: Mapping[fx.Node, Argument]) -> None:
    """Let the copies of nodes that stand for others stand for the copies of these."""
    for node in old.nodes:
        copy = copies.get(node)
        if VALUE_OF in node.meta and isinstance(copy, fx.Node) and VALUE_OF in copy.meta:
            copy.meta[VALUE_OF] = copies[node.meta[VALUE_OF]]


def sweep(graph: fx.Graph) -> None:
    """Remove what nothing uses; inputs, run-time assertions and what is stood for stay."""
    kept = {node.meta[VALUE_OF] for node in graph.nodes if VALUE_OF in node.meta}
    graph.eliminate_dead_code(lambda node: node in kept or node.is_impure())
    graph.lint()


def remap(captured: Captured, graph: fx.Graph, copies: Mapping[fx.Node, Argument]) -> Captured:
    """Return the same ports and modules on another graph."""
    kept = set(graph.nodes)

    def find_copy(node: fx.Node) -> fx.Node:
        copy = copies[node]
        assert isinstance(copy, fx.Node)
        return copy

    def alive(nodes: tuple[fx.Node, ...]) -> tuple[fx.Node, ...]:
        found = (copies.get(n) for n in nodes)
        return tuple(dict.fromkeys(n for n in found if isinstance(n, fx.Node) and n in kept))

    return replace(
        captured,
        graph=graph,
        inputs=tuple(replace(p, node=find_copy(p.node)) for p in captured.inputs),
        outputs=tuple(replace(p, node=find_copy(p.node)) for p in captured.outputs),
        modules={path: alive(nodes) for path, nodes in captured.modules.items()},
    )
