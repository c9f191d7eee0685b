"""Choose circuits, that is, edges to keep; give them as networkx graphs; compare them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..errors import InputError
from ..markup import MOST_ROWS, Overview, Shown
from ..markup.numbers import percent, signed
from .edges import EdgeScores, ReaderKind

if TYPE_CHECKING:
    import networkx as nx

INPUT, OUTPUT = "input", "logits"


@dataclass(frozen=True, repr=False)
class Circuit(Shown):
    """Some of the edges that were scored. `keep` is (writer, reader), True for an edge inside.

    Every edge lies on a path from the input to the output.
    """

    edges: EdgeScores
    keep: Tensor

    def __len__(self) -> int:
        """Return how many edges are in it."""
        return int(self.keep.sum())

    @property
    def share(self) -> float:
        """The part of all possible edges that is in it."""
        return len(self) / len(self.edges)

    def names(self) -> list[str]:
        """Return `a0.h1->a2.h3<q>` for each edge, strongest first."""
        return [self._name(u, d) for u, d, _ in self._ranking()]

    def _ranking(self) -> list[tuple[int, int, float]]:
        """Return (writer, reader, mean score) of each edge, strongest first."""
        mean = self.edges.mean()
        found = [(u, d, float(mean[u, d])) for u, d in torch.nonzero(self.keep).tolist()]
        return sorted(found, key=lambda edge: (abs(edge[2]), edge[0], edge[1]), reverse=True)

    def overview(self) -> Overview:
        """Return its size, and its edges of largest score."""
        writers, readers = self.edges.writers, self.edges.readers
        ranking = self._ranking()
        return Overview(
            title=(
                f"circuit: {len(self)} of {len(self.edges)} edges ({percent(self.share)}), scored"
                f" by {self.edges.estimator}"
            ),
            facts=(("components", ", ".join(self.components())),),
            head=("from", "to", "mean score#"),
            rows=[
                (writers[u].name, readers[d].name, signed(score))
                for u, d, score in ranking[:MOST_ROWS]
            ],
            left_out=max(0, len(ranking) - MOST_ROWS),
        )

    def components(self) -> list[str]:
        """Return its components, input and output included, in the order of the forward pass."""
        graph = self.graph()
        order = [w.name for w in self.edges.writers] + [OUTPUT]
        return [name for name in order if name in graph]

    def graph(self) -> nx.DiGraph[str]:
        """Return a DiGraph of components.

        An edge has `score` (the sum over its inputs), `inputs` (`q`, `k`, `v`, `mlp` or `logits`,
        separated by commas) and a score per input (`score_q`); a node has `score` and `kind`.
        """
        import networkx as nx  # slow to import

        graph = nx.DiGraph(estimator=self.edges.estimator)
        mean, scores = self.edges.mean(), self.edges.node_scores()
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
            graph.nodes[name]["kind"] = component_kind(name)
            graph.nodes[name]["score"] = scores.get(name, 0.0)
        return graph

    def without(self, component: str) -> Circuit:
        """Return the circuit with every edge from and to a component cut."""
        keep = self.keep.clone()
        keep[[w.name == component for w in self.edges.writers]] = False
        keep[:, [r.component == component for r in self.edges.readers]] = False
        return Circuit(self.edges, keep)

    def complement(self) -> Circuit:
        """Return all edges outside: the model with the circuit cut out."""
        return Circuit(self.edges, self.edges.possible & ~self.keep)

    def _name(self, u: int, d: int) -> str:
        return f"{self.edges.writers[u].name}->{self.edges.readers[d].name}"


def component_kind(name: str) -> str:
    """Return `input`, `attention`, `mlp` or `logits`, by a component's short name."""
    if name in (INPUT, OUTPUT):
        return name
    return "mlp" if name.startswith("m") else "attention"


def whole_circuit(edges: EdgeScores) -> Circuit:
    """Return the circuit of all edges: the model itself."""
    return Circuit(edges, edges.possible.clone())


def by_threshold(edges: EdgeScores, threshold: float) -> Circuit:
    """Keep the edges of at least that absolute mean score that lie on a path of such edges.

    `threshold` is in units of the metric.
    """
    return drop_disconnected(edges, edges.possible & (edges.mean().abs() >= threshold))


def top_edges(edges: EdgeScores, count: int) -> Circuit:
    """Keep the `count` edges of largest absolute mean score; those that lie on no path are dropped.

    Raises:
        InputError: there are not that many edges.

    Example:
        >>> from lrp_engine.demo.ioi import ioi_subject
        >>> from lrp_engine.circuits import edge_scores
        >>> model, pairs = ioi_subject()
        >>> circuit = top_edges(edge_scores(model, pairs), 40)
        >>> circuit.components()[0], circuit.components()[-1]
        ('input', 'logits')
    """
    if not 0 <= count <= len(edges):
        raise InputError(f"the model has {len(edges)} edges, a circuit cannot keep {count}")
    strength = edges.mean().abs().masked_fill(~edges.possible, -1.0)
    keep = torch.zeros_like(edges.possible)
    keep.view(-1)[strength.view(-1).argsort(descending=True)[:count]] = True
    return drop_disconnected(edges, keep)


def greedy(edges: EdgeScores, count: int) -> Circuit:
    """Grow from the output: add the strongest edge into what is already in, `count` times."""
    strength = edges.mean().abs().masked_fill(~edges.possible, -1.0)
    keep = torch.zeros_like(edges.possible)
    inside = torch.tensor([r.reads is ReaderKind.OUTPUT for r in edges.readers])
    for _ in range(count):
        open_edges = strength.masked_fill(keep | ~inside, -1.0)
        best = int(open_edges.argmax())
        u, d = divmod(best, len(edges.readers))
        if open_edges[u, d] < 0:
            break
        keep[u, d] = True
        name = edges.writers[u].name
        inside |= torch.tensor([r.component == name for r in edges.readers])
    return drop_disconnected(edges, keep)


def drop_disconnected(edges: EdgeScores, keep: Tensor) -> Circuit:
    """Drop edges that lie on no path from the input to the output.

    `keep` is (writer, reader).
    """
    import networkx as nx  # slow to import

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
    """The share of edges and components that two circuits have in common (intersection over union).

    The names are those of edges.
    """

    edges: float
    components: float
    shared: tuple[str, ...]
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]


def overlap(first: Circuit, second: Circuit) -> Overlap:
    """Compare two circuits of one model by the names of their edges and components."""
    a, b = set(first.names()), set(second.names())
    x, y = set(first.components()), set(second.components())
    return Overlap(
        edges=_jaccard(a, b),
        components=_jaccard(x, y),
        shared=tuple(n for n in first.names() if n in b),
        only_first=tuple(sorted(a - b)),
        only_second=tuple(sorted(b - a)),
    )


def _jaccard(a: set[str], b: set[str]) -> float:
    return len(a & b) / len(a | b) if a | b else 1.0
