"""Copying a captured graph while replacing some of its nodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from torch import fx

from ..capture import Captured

Copies = dict[fx.Node, Any]
Replacement = Callable[[fx.Node, fx.Graph, Copies], Any]


class Rewritten(NamedTuple):
    """A captured model on another graph, and what each node of the old graph has become there."""

    captured: Captured
    copies: Copies


def rewrite(captured: Captured, replacement: Replacement) -> Rewritten:
    """Copy `captured` to a graph in which `replacement(node, new graph, copies)` may stand in for a node.

    `replacement` returns what the new graph uses in the node's place, or None to copy the node.
    """
    graph = fx.Graph()
    copies: Copies = {}
    for node in captured.graph.nodes:
        stand_in = None if node.op != "call_function" else replacement(node, graph, copies)
        if stand_in is None:
            stand_in = graph.node_copy(node, lambda n: copies[n])
        copies[node] = stand_in
    sweep(graph)
    return Rewritten(remap(captured, graph, copies), copies)


def sweep(graph: fx.Graph) -> None:
    """Removes what nothing uses; inputs and run-time assertions stay."""
    graph.eliminate_dead_code()
    graph.lint()


def remap(captured: Captured, graph: fx.Graph, copies: Mapping[fx.Node, Any]) -> Captured:
    """The same ports on another graph."""
    kept = set(graph.nodes)

    def alive(nodes: tuple[fx.Node, ...]) -> tuple[fx.Node, ...]:
        return tuple(copies[n] for n in nodes if copies.get(n) in kept)

    return replace(
        captured,
        graph=graph,
        inputs=tuple(replace(p, node=copies[p.node]) for p in captured.inputs),
        outputs=tuple(replace(p, node=copies[p.node]) for p in captured.outputs),
        modules={path: alive(nodes) for path, nodes in captured.modules.items()},
    )
