"""Find the nodes that a module call returned, from the module stacks that export records."""

from __future__ import annotations

from collections import defaultdict

from torch import fx

from ..graphs.nodes import is_floating, module_stack


def module_outputs(graph: fx.Graph) -> dict[str, tuple[fx.Node, ...]]:
    """Return the results of each module, by path (`layers.3.mlp`, `shared@1` for a second call).

    A module's results are the values that it computed and that nodes outside it use.
    """
    paths = {node: {path for path, _ in module_stack(node)} - {""} for node in graph.nodes}
    found: dict[str, list[fx.Node]] = defaultdict(list)
    for node in graph.nodes:
        if node.op != "call_function" or not is_floating(node):
            continue
        outside = set.union(*(paths[node] - paths[user] for user in node.users), set())
        for path in outside:
            found[path].append(node)
    return {path: tuple(nodes) for path, nodes in found.items()}
