"""Run a model with its dictionaries spliced in, and every edge outside a feature circuit ablated.

Each reader (a feature, the rest, an error term, the output) sees its own version of what comes
before: of every writer the value of this run if their edge is kept, else the value that stands in
for it. With all edges this is the clean run, with none the ablated one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, fx

from .ablation import Ablation, ablated_values
from .circuit_model import CircuitModel
from .downstream import downstream_program
from .faithfulness import MetricRange
from .feature_ablation import FeatureCurve
from .feature_edge_scores import FeatureEdges
from .feature_nodes import FeatureGraph, FeatureNode, NodeGroup, NodeKind, Source, feature_graph
from .features import Feature, Splice, nodes_of, place_all
from .pairs import Pairs, evaluate_metric


@dataclass(frozen=True)
class Stand:
    """Values of a dictionary in one run: features, (batch, position, feature), and error."""

    features: Tensor
    error: Tensor


@dataclass(frozen=True)
class FeatureEdgeAblator:
    """A batch of clean prompts, ready to be run with any edges between features cut.

    `inputs` holds the clean and the ablated value of every embedding, `ablated` what stands in for
    features and errors, by the node of their site.
    """

    graph: FeatureGraph
    pairs: Pairs
    leaves: list[Tensor]
    inputs: Mapping[fx.Node, tuple[Tensor, Tensor]]
    ablated: Mapping[fx.Node, Stand]

    def run(self, keep: Tensor) -> Tensor:
        """Compute the metric, (batch,), with the edges of `keep`, (writer, reader), alone."""
        return evaluate_metric(self.pairs.metric, self.output(keep))

    def output(self, keep: Tensor) -> Tensor:
        """Compute the model's output with the edges of `keep`, (writer, reader), alone."""
        now: dict[fx.Node, Stand] = {}
        column = 0
        with torch.no_grad():
            for group in self.graph.groups:
                width = len(group.nodes)
                now[group.placed.site.node] = self._compute(
                    group, keep[:, column : column + width], now
                )
                column += width
            (output,) = self._see(None, keep[:, column:], now)
        return output

    def _compute(self, group: NodeGroup, keep: Tensor, now: Mapping[fx.Node, Stand]) -> Stand:
        """Return a dictionary's values: of each node as it sees what comes before."""
        p = group.placed
        ends = self._see(group, keep, now)
        seen = dict(zip(self.graph.starts_of(group), ends, strict=True))
        features, error = (_by_reader(x, len(group.nodes)) for x in p.encode(seen))
        members = group.membership().to(features)
        return Stand(torch.einsum("nbpf,nf->bpf", features[:-1], members), error[-1])

    def _see(
        self, group: NodeGroup | None, keep: Tensor, now: Mapping[fx.Node, Stand]
    ) -> Sequence[Tensor]:
        """Return the values that a dictionary, or the output, is computed from, reader by reader.

        `keep` is (writer, reader) for its readers. Each value is (reader * batch, ...).
        """
        sources, model = self.graph.sources_of(group), self.graph.model
        given = [self._stream(source, keep, now).flatten(0, 1) for source in sources]
        starts = [source.node for source in sources]
        ends = self.graph.starts_of(group)
        rest = downstream_program(model, starts, ends)
        _, boundary = model.activations(rest.boundary, self.leaves)
        return rest.run(self.leaves, boundary, given, keep.shape[1])

    def _stream(self, source: Source, keep: Tensor, now: Mapping[fx.Node, Stand]) -> Tensor:
        """Return what readers see of one source, (reader, batch, ...)."""
        if source.is_input:
            (site,) = [s for s in self.graph.model.choose("embed") if s.node is source.node]
            row = self.graph.writers.index(FeatureNode(site.name, NodeKind.INPUT))
            clean, other = self.inputs[source.node]
            return torch.where(_for_each(keep[row], clean), clean, other)
        (group,) = [g for g in self.graph.groups if g.placed.site.node is source.node]
        first = self.graph.writers.index(group.nodes[0])
        rows = keep[first : first + len(group.nodes)]
        own, other_run = now[source.node], self.ablated[source.node]
        members = group.membership().to(own.features)
        kept = (rows[:-1].T.to(members) @ members)[:, None, None] > 0
        features = torch.where(kept, own.features, other_run.features)
        error = torch.where(_for_each(rows[-1], own.error), own.error, other_run.error)
        decoded = group.placed.dictionary.decode(features.flatten(0, 1))
        return _by_reader(decoded, keep.shape[1]) + error


def _by_reader(x: Tensor, readers: int) -> Tensor:
    """Split axis 0: (reader * batch, ...) -> (reader, batch, ...)."""
    return x.view(readers, -1, *x.shape[1:])


def _for_each(keep: Tensor, like: Tensor) -> Tensor:
    """Give (reader,) the axes of `like` behind its own."""
    return keep.to(like.device).view(-1, *([1] * like.dim()))


def prepare_feature_ablation(
    model: CircuitModel,
    pairs: Pairs,
    splices: Sequence[Splice],
    features: Sequence[Feature],
    ablation: Ablation | str = Ablation.RESAMPLE,
) -> FeatureEdgeAblator:
    """Run a batch once, so that it can then be run with any edges between features cut."""
    placed = place_all(model, splices)
    nodes = (*nodes_of(placed), *model.embeddings)
    clean = model.leaves(pairs.clean)
    values = ablated_values(model, pairs, nodes, ablation)
    _, now = model.activations(model.embeddings, clean)
    ablated = {p.site.node: Stand(*p.encode(values)) for p in placed}
    widths = [ablated[p.site.node].features.shape[-1] for p in placed]
    graph = feature_graph(model, placed, widths, features)
    embedded = {n: (x, values[n]) for n, x in zip(model.embeddings, now, strict=True)}
    return FeatureEdgeAblator(graph, pairs, clean, embedded, ablated)


def feature_edge_curve(
    model: CircuitModel,
    pairs: Pairs,
    splices: Sequence[Splice],
    edges: FeatureEdges,
    counts: Sequence[int],
    *,
    ablation: Ablation | str = Ablation.RESAMPLE,
) -> FeatureCurve:
    """Keep the strongest edges between features in a clean run and cut all others.

    Args:
        model: the model.
        pairs: a batch of clean and corrupt prompts with their metric.
        splices: dictionaries with their places, those that were scored.
        edges: scores of edges, which rank them.
        counts: how many edges are kept.
        ablation: RESAMPLE puts the corrupt run's values in the place of what is cut, MEAN those of
            the mean activation over the clean prompts.

    Returns:
        Faithfulness with those edges alone, and with all but those, for every count.
    """
    ablator = prepare_feature_ablation(model, pairs, splices, list(_features(edges)), ablation)

    def metric(keep: Tensor) -> float:
        return float(ablator.run(keep).mean())

    limits = MetricRange(metric(edges.possible), metric(torch.zeros_like(edges.possible)))
    chosen = [edges.keep_top(count) for count in counts]
    return FeatureCurve(
        counts=tuple(counts),
        faithfulness=tuple(limits.restored(metric(keep)) for keep in chosen),
        without=tuple(limits.restored(metric(edges.possible & ~keep)) for keep in chosen),
    )


def _features(edges: FeatureEdges) -> Iterator[Feature]:
    """Yield the features that are nodes."""
    for node in edges.writers:
        if node.kind is NodeKind.FEATURE:
            yield Feature(node.site, node.index)
