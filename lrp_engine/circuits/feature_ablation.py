"""Measure what some features keep of a model's behaviour, by ablating all others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, fx

from ..capture.ambient import leave_inference
from ..graphs.modules import module_of
from .ablation import Ablation, ablated_values
from .circuit_model import CircuitModel
from .faithfulness import MetricRange
from .features import (
    Feature,
    FeatureScores,
    PlacedDictionary,
    Splice,
    nodes_of,
    place_all,
)
from .pairs import Pairs, evaluate_metric


@dataclass(frozen=True)
class FeatureCurve:
    """Faithfulness f = (m(kept) - m(none)) / (m(all) - m(none)) over the number of features.

    `faithfulness[i]` is f with only the top `counts[i]` features (and errors) kept, `without[i]`
    with just those taken away (completeness wants it near 0).
    """

    counts: tuple[int, ...]
    faithfulness: tuple[float, ...]
    without: tuple[float, ...]


@leave_inference()
def feature_curve(
    model: CircuitModel,
    pairs: Pairs,
    splices: Sequence[Splice],
    scores: FeatureScores,
    counts: Sequence[int],
    *,
    ablation: Ablation | str = Ablation.RESAMPLE,
) -> FeatureCurve:
    """Keep the top features of a clean run and ablate the others, at every dictionary at once.

    Args:
        model: the model.
        pairs: a batch of clean and corrupt prompts with their metric.
        splices: dictionaries with their places.
        scores: scores of their features, which rank them.
        counts: how many features are kept.
        ablation: RESAMPLE puts the corrupt run's features in their place, MEAN those of the mean
            activation over the clean prompts.
    """
    placed = place_all(model, splices)
    clean = model.leaves(pairs.clean)
    values = ablated_values(model, pairs, nodes_of(placed), ablation)
    stand_in = {p.site.node: p.encode(values) for p in placed}
    ranked = [feature for feature, _ in scores.ranking()]

    def metric(kept: set[Feature]) -> float:
        run = _SplicedRun(model, placed, stand_in, kept)
        return float(evaluate_metric(pairs.metric, run.model_output(clean)).mean())

    everything = _all_features(placed, stand_in)
    limits = MetricRange(metric(everything), metric(set()))
    chosen = [set(ranked[:count]) for count in counts]
    return FeatureCurve(
        counts=tuple(counts),
        faithfulness=tuple(limits.restored(metric(kept)) for kept in chosen),
        without=tuple(limits.restored(metric(everything - kept)) for kept in chosen),
    )


def _all_features(
    placed: Sequence[PlacedDictionary], stand_in: Mapping[fx.Node, tuple[Tensor, Tensor]]
) -> set[Feature]:
    widths = {p.site.name: stand_in[p.site.node][0].shape[-1] for p in placed}
    named = {Feature(site, i) for site, count in widths.items() for i in range(count)}
    return named | {Feature(p.site.name, None) for p in placed}


class _SplicedRun(fx.Interpreter):
    """Runs the captured graph with dictionaries spliced in, features outside `kept` ablated."""

    def __init__(
        self,
        model: CircuitModel,
        placed: Sequence[PlacedDictionary],
        stand_in: Mapping[fx.Node, tuple[Tensor, Tensor]],
        kept: set[Feature],
    ) -> None:
        super().__init__(module_of(model.graph.tensors, model.graph.graph))
        # The module holds a copy of the graph: its nodes go by name.
        self.places = {p.site.node.name: p for p in placed}
        self.reads = {p.reads.node.name for p in placed}
        self.stand_in, self.kept, self.seen = stand_in, kept, dict[str, Tensor]()
        self.output_name = model.output.node.name

    def model_output(self, leaves: Sequence[Tensor]) -> Tensor:
        """Run the model and return its output."""
        with torch.no_grad():
            self.run(*leaves)
        return self.seen[self.output_name]

    def run_node(self, n: fx.Node) -> object:
        """Run one node; at a dictionary's place, replace its result by features and error."""
        result = super().run_node(n)
        if n.name in self.places:
            result = self._splice(self.places[n.name], result)
        if n.name in self.reads or n.name == self.output_name:
            self.seen[n.name] = result
        return result

    def _splice(self, p: PlacedDictionary, x: Tensor) -> Tensor:
        read = x if p.reads.node is p.site.node else self.seen[p.reads.node.name]
        features, error = p.encode({p.reads.node: read, p.site.node: x})
        other, other_error = self.stand_in[p.site.node]
        site = p.site.name
        keep = torch.tensor([Feature(site, i) in self.kept for i in range(features.shape[-1])])
        features = torch.where(keep.to(features.device), features, other)
        error = error if Feature(site, None) in self.kept else other_error
        return p.dictionary.decode(features) + error
