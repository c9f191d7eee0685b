"""Choose a preset by what a model contains: the preset `auto`."""

from __future__ import annotations

from collections.abc import Iterable

from torch import fx

from ..capture import Captured, OutputPort
from ..graphs.nodes import target_name
from ..graphs.walk import downstream, upstream
from ..method.registry import Registry
from ..preset.choices import Choice, Need, read_choices


def choose_by_structure(captured: Captured, registry: Registry, output: OutputPort) -> Choice:
    """Return the first choice whose needs are all met between the inputs and the output."""
    nodes = on_the_way(captured, output)
    families = {
        node: frozenset(op.family for op in registry.records(node.target)) for node in nodes
    }
    return next(c for c in read_choices() if all(_is_met(n, nodes, families) for n in c.needs))


def on_the_way(captured: Captured, output: OutputPort) -> list[fx.Node]:
    """Return the ops that depend on an input and that the output depends on, in order."""
    depends = downstream([port.node for port in captured.inputs])
    needed = upstream([output.node])
    return [n for n in captured.graph.nodes if n in depends and n in needed]


def _is_met(need: Need, nodes: Iterable[fx.Node], families: dict[fx.Node, frozenset[str]]) -> bool:
    found = [n for n in nodes if need.names(target_name(n), families[n])]
    if need.before is None:
        return bool(found)
    return any(need.before in families.get(n, ()) for n in downstream(found))
