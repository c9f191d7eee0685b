"""Walk an fx graph: the nodes that lead to others, and the nodes that depend on others."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from torch import fx

Step = Callable[[fx.Node], Iterable[fx.Node]]


def closure(
    starts: Iterable[fx.Node],
    step: Step,
    *,
    stop: Callable[[fx.Node], bool] | None = None,
) -> dict[fx.Node, None]:
    """Return the starts and all nodes that they lead to, an ordered set as a dict's keys.

    Args:
        starts: The nodes to begin with; they belong to the result.
        step: The neighbours of a node, for instance `inputs` or `users`.
        stop: True for a node that belongs to the result, but is not walked past.

    Returns:
        The nodes as they are visited: depth first, the last neighbour of a node before its others.
    """
    found: dict[fx.Node, None] = {}
    stack = list(starts)
    while stack:
        node = stack.pop()
        if node in found:
            continue
        found[node] = None
        if stop is None or not stop(node):
            stack.extend(step(node))
    return found


def inputs(node: fx.Node) -> Iterable[fx.Node]:
    """Return the nodes that a node reads."""
    return node.all_input_nodes


def users(node: fx.Node) -> Iterable[fx.Node]:
    """Return the nodes that read a node."""
    return node.users


def upstream(results: Iterable[object]) -> set[fx.Node]:
    """Return all nodes that the results need, themselves included; what is no node is skipped."""
    return set(closure((r for r in results if isinstance(r, fx.Node)), inputs))


def downstream(nodes: Iterable[fx.Node]) -> dict[fx.Node, None]:
    """Return all nodes that depend on one of `nodes`, an ordered set as a dict's keys.

    One of `nodes` is among them only if it depends on another.
    """
    return closure((user for node in nodes for user in users(node)), users)
