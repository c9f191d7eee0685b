"""Compute values of a graph that depend on the model's own tensors alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from .walk import upstream

_KNOWN = ("get_attr", "call_function")


@dataclass(frozen=True)
class Constant:
    """A value that is computed from the model's tensors: the ops that do so, in a graph by itself.

    It is computed anew each time, since parameters may be changed in place.
    """

    graph: fx.Graph
    tensors: Mapping[str, Tensor]

    @classmethod
    def of(cls, node: fx.Node, tensors: Mapping[str, Tensor]) -> Constant | None:
        """Return a node as a constant; None if it depends on an input or draws random numbers."""
        needed = upstream([node])
        if any(n.op not in _KNOWN or _draws(n) for n in needed):
            return None
        graph, copies = fx.Graph(), dict[fx.Node, fx.Node]()
        for old in (n for n in node.graph.nodes if n in needed):
            copies[old] = graph.node_copy(old, copies.__getitem__)
        graph.output(copies[node])
        read = {str(n.target) for n in needed if n.op == "get_attr"}
        return cls(graph, {name: tensors[name] for name in read & tensors.keys()})

    def value(self) -> Any:
        """Compute the value from the tensors as they are now; None if one is not there."""
        found: dict[fx.Node, Any] = {}
        with torch.no_grad():
            for node in self.graph.nodes:
                if node.op == "get_attr":
                    if node.target not in self.tensors:
                        return None
                    found[node] = self.tensors[str(node.target)]
                elif node.op == "call_function":
                    args, kwargs = fx.node.map_arg((node.args, node.kwargs), found.__getitem__)
                    found[node] = node.target(*args, **kwargs)
        (result,) = self.graph.output_node().args
        return found[result]  # type: ignore[index]


def _draws(node: fx.Node) -> bool:
    return torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ())
