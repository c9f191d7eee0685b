"""Circuits: the edges that are kept, as a networkx graph; how to choose and to compare them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import networkx as nx
import torch
from torch import Tensor

from ..errors import InputError
from .edges import EdgeScores, Reads

INPUT, OUTPUT = "input", "logits"


@dataclass(frozen=True)
class Circuit:
    """Some of the edges that were scored. `keep` is (writer, reader), True for an edge inside.

    Every edge lies on a path from the input to the output.
    """

    edges: EdgeScores
    keep: Tensor

    def __len__(self) -> int:
        """How many edges are in it."""
        return int(self.keep.sum())

    @property
    def share(self) -> float:
        """The part of all possible edges that is in it."""
        return len(self) / len(self.edges)

    def names(self) -> list[str]:
        """`a0.h1->a2.h3<q>` for each edge, strongest first."""
        mean = self.edges.mean()
        found = [(abs(float(mean[u, d])), u, d) for u, d in torch.nonzero(self.keep).tolist()]
        return [self._name(u, d) for _, u, d in sorted(found, reverse=True)]

    def components(self) -> list[str]:
        """The components in it, input and output included, in the order of the forward pass."""
        graph = self.graph()
        order = [w.name for w in self.edges.writers] + [OUTPUT]
        return [name for name in order if name in graph]

    def graph(self) -> nx.DiGraph:
        """A DiGraph of components. An edge has `score` (the sum over what reads it), `inputs`
        (`q`, `k`, `v`, `mlp` or `logits`) and one score per input; a node has `score`, `kind`."""
        graph = nx.DiGraph(estimator=self.edges.estimator)
        mean, scores = self.edges.mean(), self.edges.out_of()
        for u, d in torch.nonzero(self.keep).tolist():
            writer, reader = self.edges.writers[u].name, self.edges.readers[d]
            value = float(mean[u, d])
            known = graph.get_edge_data(writer, reader.component) or {"score": 0.0, "inputs": ""}
            inputs = [*filter(None, known["inputs"].split(",")), reader.reads.value]
            graph.add_edge(
                writer,
                reader.component,
                **known | {"score": known["score"] + value, "inputs": ",".join(inputs)},
                **{f"score_{reader.reads.value}": value},
            )
        for name in graph:
            graph.nodes[name]["kind"] = kind_of(name)
            graph.nodes[name]["score"] = scores.get(name, 0.0)
        return graph

    def without(self, component: str) -> Circuit:
        """The circuit with every edge from and to a component cut."""
        keep = self.keep.clone()
        keep[[w.name == component for w in self.edges.writers]] = False
        keep[:, [r.component == component for r in self.edges.readers]] = False
        return Circuit(self.edges, keep)

    def complement(self) -> Circuit:
        """All edges outside: the model with the circuit cut out."""
        return Circuit(self.edges, self.edges.possible & ~self.keep)

    def _name(self, u: int, d: int) -> str:
        return f"{self.edges.writers[u].name}->{self.edges.readers[d].name}"


def kind_of(name: str) -> str:
    """`input`, `attention`, `mlp` or `logits`, by a component's short name."""
    if name in (INPUT, OUTPUT):
        return name
    return "mlp" if name.startswith("m") else "attention"


def whole(edges: EdgeScores) -> Circuit:
    """The circuit of all edges: the model itself."""
    return Circuit(edges, edges.possible.clone())


def by_threshold(edges: EdgeScores, threshold: float) -> Circuit:
    """Edges of at least that absolute mean score, then what lies on no path is dropped."""
    return connected(edges, edges.possible & (edges.mean().abs() >= threshold))


def top_edges(edges: EdgeScores, count: int) -> Circuit:
    """The `count` edges of largest absolute mean score; what lies on no path is dropped.

    Raises InputError if there are not that many edges.
    """
    if not 0 <= count <= len(edges):
        raise InputError(f"there are {len(edges)} edges, not {count}")
    strength = edges.mean().abs().masked_fill(~edges.possible, -1.0)
    keep = torch.zeros_like(edges.possible)
    keep.view(-1)[strength.view(-1).argsort(descending=True)[:count]] = True
    return connected(edges, keep)


def greedy(edges: EdgeScores, count: int) -> Circuit:
    """Grows from the output: the strongest edge into what is already in, `count` times."""
    strength = edges.mean().abs().masked_fill(~edges.possible, -1.0)
    keep = torch.zeros_like(edges.possible)
    inside = torch.tensor([r.reads is Reads.OUTPUT for r in edges.readers])
    for _ in range(count):
        open_edges = strength.masked_fill(keep | ~inside, -1.0)
        best = int(open_edges.argmax())
        u, d = divmod(best, len(edges.readers))
        if open_edges[u, d] < 0:
            break
        keep[u, d] = True
        name = edges.writers[u].name
        inside |= torch.tensor([r.component == name for r in edges.readers])
    return connected(edges, keep)


def connected(edges: EdgeScores, keep: Tensor) -> Circuit:
    """Drops edges that lie on no path from the input to the output."""
    graph = nx.DiGraph()
    graph.add_nodes_from([INPUT, OUTPUT])
    pairs = [
        (u, d, edges.writers[u].name, edges.readers[d].component)
        for u, d in torch.nonzero(keep).tolist()
    ]
    graph.add_edges_from((a, b) for _, _, a, b in pairs)
    fed = nx.descendants(graph, INPUT) | {INPUT}
    used = nx.ancestors(graph, OUTPUT) | {OUTPUT}
    kept = torch.zeros_like(edges.possible)
    for u, d, a, b in pairs:
        kept[u, d] = a in fed and b in used
    return Circuit(edges, kept)


@dataclass(frozen=True)
class Overlap:
    """How much two circuits share: of edges and of components, as intersection over union."""

    edges: float
    components: float
    shared: tuple[str, ...]
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]


def overlap(first: Circuit, second: Circuit) -> Overlap:
    """Compares two circuits of one model by the names of their edges and components."""
    a, b = set(first.names()), set(second.names())
    x, y = set(first.components()), set(second.components())
    ordered: Iterable[str] = first.names()
    return Overlap(
        edges=_jaccard(a, b),
        components=_jaccard(x, y),
        shared=tuple(n for n in ordered if n in b),
        only_first=tuple(sorted(a - b)),
        only_second=tuple(sorted(b - a)),
    )


def _jaccard(a: set[str], b: set[str]) -> float:
    return len(a & b) / len(a | b) if a | b else 1.0
