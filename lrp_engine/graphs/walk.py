"""Walks over an fx graph."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torch import fx


def upstream(results: Sequence[Any]) -> set[fx.Node]:
    """All nodes that the results need, themselves included."""
    found: set[fx.Node] = set()
    stack = [r for r in results if isinstance(r, fx.Node)]
    while stack:
        node = stack.pop()
        if node not in found:
            found.add(node)
            stack += node.all_input_nodes
    return found


def downstream(nodes: set[fx.Node]) -> Iterator[fx.Node]:
    """Every node that depends on one of `nodes` (not the nodes themselves)."""
    seen: set[fx.Node] = set()
    stack = [user for node in nodes for user in node.users]
    while stack:
        node = stack.pop()
        if node not in seen:
            seen.add(node)
            yield node
            stack.extend(node.users)
