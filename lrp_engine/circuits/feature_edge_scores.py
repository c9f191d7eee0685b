"""Score the edges of feature circuits: from features and errors to those of later dictionaries.

With dictionaries spliced in (x = decode(f) + error), the model is a graph of features. A feature's
coefficient passes through its encoder, and back to the dictionaries before:

    score(i -> j) = (part of feature i's coefficient that comes through j) * (clean - corrupt of i).

The error term is what its encoder and decoder leave: it passes on the rest of what arrives at its
site. So the edges out of a feature sum to its score.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, fx

from ..markup import MOST_ROWS, Overview, Shown
from ..markup.numbers import signed
from ..method.relevance import relevance_of
from .circuit_model import CircuitModel
from .encoders import EncoderPass, prepare_encoder, run_encoder
from .estimators import BothRuns, End, Estimator, LinearEstimator, Term, find_estimator
from .feature_nodes import FeatureGraph, FeatureNode, NodeGroup, Source, feature_graph
from .feature_paths import feature_paths
from .features import (
    Feature,
    Splice,
    nodes_of,
    place_all,
    require_affine,
)
from .magnitudes import CutSums
from .pairs import Pairs
from .run_pair import RunPair, run_both
from .scores import Direction
from .scoring import estimate_coefficients
from .sites import Site


@dataclass(frozen=True, repr=False)
class FeatureEdges(Shown):
    """Scores of edges between features, in units of the metric.

    `values` is (batch, writer, reader), positions summed, 0 where `possible`, (writer, reader),
    says there is no edge. `clean` and `corrupt`, (batch,), are the metric of the two runs.
    """

    estimator: str
    direction: Direction
    writers: tuple[FeatureNode, ...]
    readers: tuple[FeatureNode, ...]
    values: Tensor
    possible: Tensor
    clean: Tensor
    corrupt: Tensor

    def __len__(self) -> int:
        """Return how many edges there are."""
        return int(self.possible.sum())

    def mean(self) -> Tensor:
        """Average over prompts: (writer, reader)."""
        return self.values.mean(0)

    def keep_top(self, count: int) -> Tensor:
        """Return (writer, reader), True for the `count` edges of largest absolute mean score."""
        size = self.mean().abs().masked_fill(~self.possible, -1.0).flatten()
        keep = torch.zeros_like(self.possible).flatten()
        keep[size.topk(min(count, len(self))).indices] = True
        return keep.view_as(self.possible)

    def top(self, count: int = 10) -> list[tuple[str, str, float]]:
        """Return (writer, reader, mean score) of the strongest edges, largest first."""
        mean = self.mean()
        found = [
            (self.writers[u].name, self.readers[d].name, float(mean[u, d]))
            for u, d in torch.nonzero(self.keep_top(count)).tolist()
        ]
        return sorted(found, key=lambda edge: -abs(edge[2]))

    def overview(self) -> Overview:
        """Return the edges of largest score, and how their sum compares with the metric."""
        said = self.cut_sums.statement
        return Overview(
            title=f"scores of {len(self)} edges between features by {self.estimator}",
            facts=(("prompts", str(len(self.clean))),),
            head=("from", "to", "mean score#"),
            rows=[(u, d, signed(score)) for u, d, score in self.top(MOST_ROWS)],
            left_out=max(0, len(self) - MOST_ROWS),
            notes=[said] if said else [],
        )

    def node_scores(self) -> dict[str, float]:
        """Sum the mean scores of all edges out of each writer."""
        sums = self.mean().sum(1).tolist()
        return {w.name: total for w, total in zip(self.writers, sums, strict=True)}

    @property
    def cut_sums(self) -> CutSums:
        """The sums of all edges into the output beside the gap."""
        return CutSums(
            {"edges into output": self.values[:, :, -1].sum(1)}, self.clean - self.corrupt
        )


def feature_edges(
    model: CircuitModel,
    pairs: Pairs,
    splices: Sequence[Splice],
    features: Iterable[Feature],
    *,
    estimator: str | Estimator = "relp",
    direction: Direction | str = Direction.DENOISE,
    at_once: int = 16,
) -> FeatureEdges:
    """Score every edge between features, error terms, inputs and output.

    Nodes are the features given, the error term of every dictionary, and for each dictionary one
    node for all its other features. Edges lead over paths that pass no other dictionary; positions
    are summed.

    Args:
        model: the model to score.
        pairs: a batch of clean and corrupt prompts with their metric.
        splices: dictionaries with their places.
        features: those that become nodes, for instance the top of `score_features`.
        estimator: a name in `ESTIMATORS`, or one of your own.
        direction: the run that is patched.
        at_once: how many readers run together.

    Raises:
        SourceError: a place is unknown.
        InputError: a place is not one (batch, position, feature) activation, two dictionaries are
            at one place, a feature does not exist, a decoder is not affine, or a dictionary has
            changed since its encoder was captured, at the first call.
        CaptureError: torch cannot capture an encoder.
        CoverageError: an encoder has an op without a rule.

    Example:
        >>> from lrp_engine.circuits import score_features
        >>> from lrp_engine.demo.ioi import ioi_subject
        >>> class Identity:  # an SAE whose features are the activation's own entries
        ...     def encode(self, x):
        ...         return 1 * x
        ...
        ...     def decode(self, features):
        ...         return features
        >>> model, pairs = ioi_subject()
        >>> splices = [Splice(f"blocks.{i}.hook_resid_post", Identity()) for i in (1, 2)]
        >>> scores = score_features(model, pairs, splices, estimator="delta")
        >>> features = [feature for feature, _ in scores.top(5)]
        >>> edges = feature_edges(model, pairs, splices, features, estimator="delta")
        >>> [node.name for node in edges.readers][-1]
        'logits'
    """
    direction, chosen = Direction(direction), find_estimator(estimator)
    placed = place_all(model, splices)
    runs = run_both(model, pairs, (*nodes_of(placed), *model.embeddings), direction)
    for p in placed:
        require_affine(p, runs.base_values[p.reads.node])
    changes = {p.site.node: p.changes(runs) for p in placed}
    widths = [changes[p.site.node][0].shape[-1] for p in placed]
    graph = feature_graph(model, placed, widths, features)
    walk = _Walk(graph, pairs, runs, changes, at_once)
    parts = [walk.score(part) for part in chosen.parts]
    clean, corrupt = runs.metrics(pairs)
    return FeatureEdges(
        estimator=chosen.name,
        direction=direction,
        writers=graph.writers,
        readers=graph.readers,
        values=_combine(chosen, parts, clean - corrupt),
        possible=graph.possible,
        clean=clean,
        corrupt=corrupt,
    )


def _combine(chosen: Estimator, parts: Sequence[Sequence[Tensor]], gap: Tensor) -> Tensor:
    """Combine the parts of an estimator, each by where the writers are, and sum positions."""
    found = []
    for several in zip(*parts, strict=True):
        own = [block.sum(-1, keepdim=True) for block in several]
        mixed = chosen.combine(several, own, gap)
        found.append(mixed.sum(1) if mixed.dim() > 3 else mixed)
    return torch.cat(found, 1)


@dataclass(frozen=True)
class _Walk:
    """The two runs of a batch, with what changes at every dictionary: (features, error)."""

    graph: FeatureGraph
    pairs: Pairs
    runs: RunPair
    changes: dict[fx.Node, tuple[Tensor, Tensor]]
    at_once: int

    def score(self, part: LinearEstimator) -> list[Tensor]:
        """Return edges by where the writers are: (batch, position, writer, reader) each."""
        several = [self._score_term(part, term) for term in part.terms]
        return [sum(blocks[1:], blocks[0]) for blocks in zip(*several, strict=True)]

    def _score_term(self, part: LinearEstimator, term: Term) -> list[Tensor]:
        model, runs = self.graph.model, self.runs
        one = replace(part, terms=(term,))
        nodes = (*nodes_of(g.placed for g in self.graph.groups), model.output.node)
        c = estimate_coefficients(model, self.pairs, runs, one, nodes)
        leaves, columns = runs.inputs_of(model, term), []
        for group in (*self.graph.groups, None):
            starts, sources = self.graph.starts_of(group), self.graph.sources_of(group)
            paths = feature_paths(
                model, term.preset, starts, [s.node for s in sources], self.graph.stops
            )
            seeds = list(self._seeds(group, c, term))
            for found in paths.run(leaves, seeds, self.at_once):
                columns.append({s: found[s.node] for s in sources if s.node in found})
        return [torch.stack([block(column) for column in columns], -1) for block in self._blocks()]

    def _seeds(
        self, group: NodeGroup | None, c: dict[fx.Node, Tensor], term: Term
    ) -> Iterator[tuple[Tensor, ...]]:
        """Yield what each reader of a dictionary, or the output, sends to its starts."""
        if group is None:
            output = self.graph.model.output.node
            yield (c[output].to(self.runs.base_output.dtype),)
            return
        p = group.placed
        site = self.runs.base_values[p.site.node]
        arrived = c.get(p.site.node, torch.zeros_like(site)).to(site.dtype)
        features, encoder = p.pull_back(arrived, group.width), self._run_encoder(group, term)
        shares = [
            (features * m, torch.zeros_like(arrived)) for m in group.membership().to(features)
        ]
        # The error is site - decode(encode(reads)).
        for at_features, at_site in (*shares, (-features, arrived)):
            back = encoder.pass_back(at_features)
            yield (at_site + back,) if p.reads.node is p.site.node else (at_site, back)

    def _run_encoder(self, group: NodeGroup, term: Term) -> EncoderPass:
        p, runs = group.placed, self.runs
        base, other = (v[p.reads.node] for v in (runs.base_values, runs.other_values))
        if isinstance(term, BothRuns):
            seen = [other, base]
        elif term.ends:
            seen = [base if term.ends[0] is End.BASE else other]
        else:
            leaves = runs.inputs_of(self.graph.model, term)
            seen = self.graph.model.activations((p.reads.node,), leaves)[1]
        return run_encoder(prepare_encoder(self.graph.model, p, base), p, term, seen)

    def _blocks(self) -> Iterator[Callable[[Mapping[Source, Tensor]], Tensor]]:
        """Yield, per embedding and dictionary, what turns coefficients there into its rows."""
        for site in self.graph.model.choose("embed"):
            yield partial(self._row_of_input, site)
        for group in self.graph.groups:
            yield partial(self._rows_of, group)

    def _row_of_input(self, site: Site, column: Mapping[Source, Tensor]) -> Tensor:
        change = self.runs.delta(site.node)
        c = column.get(Source(site.node, True), torch.zeros_like(change))
        return site.sum_features(relevance_of(c, change)).unsqueeze(-1)

    def _rows_of(self, group: NodeGroup, column: Mapping[Source, Tensor]) -> Tensor:
        """Return (batch, position, node) of a dictionary: its features, the rest, its error."""
        p = group.placed
        change, lost = self.changes[p.site.node]
        c = column.get(Source(p.site.node, False), torch.zeros_like(lost)).to(lost.dtype)
        scores = p.pull_back(c, group.width) * change
        members = group.membership().to(scores)
        return torch.cat([scores @ members.T, (c * lost).sum(-1, keepdim=True)], -1)
