"""Copy graphs, and make modules of them that hold only the tensors they read."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, fx

from .leftovers import short_lived


def tensors_of(tensors: Mapping[str, Tensor], graph: fx.Graph) -> dict[str, Tensor]:
    """Return those of the named parameters, buffers and constants that a graph reads."""
    read = {str(node.target) for node in graph.nodes if node.op == "get_attr"}
    return {name: tensors[name] for name in read}


def module_of(tensors: Mapping[str, Tensor], graph: fx.Graph) -> fx.GraphModule:
    """Return a module that runs a graph and holds those of the tensors that the graph reads."""
    return short_lived(fx.GraphModule(tensors_of(tensors, graph), graph))


def copy_graph(graph: fx.Graph) -> fx.Graph:
    """Return a copy with nodes of its own and the same way of generating code."""
    copy = fx.Graph()
    copy.set_codegen(graph._codegen)
    copy.output(copy.graph_copy(graph, {}))
    return copy
