"""Score a model's components and edges, pick a circuit, and verify it by exact patches."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from .. import circuits
from ..circuits.edges import EdgeScores, merge_edge_scores
from .choices import AUTO
from .circuit_inputs import CircuitInputs
from .console import progress, working

_COMPONENTS = ("z", "mlp_out", "resid_pre")


@dataclass(frozen=True)
class CircuitResult:
    """Everything that one call of `lrp circuit` computes, and the files that it wrote."""

    scores: circuits.Scores
    edges: EdgeScores
    circuit: circuits.Circuit
    quality: circuits.Quality
    curve: circuits.Curve | None
    prompts: int
    choice: circuits.Choice | None = None
    written: list[Path] = field(default_factory=list)


@dataclass(frozen=True)
class CircuitSearch:
    """The settings of a search.

    Attributes:
        estimator: the name of an estimator, or `auto` for the best on a sample.
        count: how many edges the circuit keeps.
        threshold: if given, edges of at least this score are kept instead.
        choose: `top` or `greedy`.
        sample: how many random components are patched exactly.
    """

    estimator: str
    count: int
    threshold: float | None
    choose: str
    sample: int

    def run(self, inputs: CircuitInputs, *, with_curve: bool = False) -> CircuitResult:
        """Score the first batch's components and all batches' edges, and measure the circuit."""
        first = inputs.pairs[0]
        with working("capturing the model"):
            model = inputs.model()
        choice = self._choose_estimator(model, first)
        name = self.estimator if choice is None else choice.estimator.name
        with working("scoring components and edges"):
            scores = circuits.score(model, first, _COMPONENTS, estimator=name)
            parts = [circuits.edge_scores(model, pairs, estimator=name) for pairs in inputs.pairs]
            edges = merge_edge_scores(parts)
        with progress("verifying by exact patches") as step:
            scores = circuits.verify(model, first, scores, sample=self.sample, progress=step)
        picked = self._pick(edges)
        with progress("measuring the circuit") as step:
            quality = circuits.quality(model, first, picked, progress=step)
        curve = self._curve(model, first, edges) if with_curve else None
        total = sum(len(part.clean) for part in parts)
        return CircuitResult(scores, edges, picked, quality, curve, total, choice)

    def _choose_estimator(
        self, model: circuits.CircuitModel, pairs: circuits.Pairs
    ) -> circuits.Choice | None:
        if self.estimator != AUTO:
            return None
        with progress("choosing an estimator by exact patches") as step:
            return circuits.choose_estimator(model, pairs, sample=self.sample, progress=step)

    def _pick(self, edges: EdgeScores) -> circuits.Circuit:
        if self.threshold is not None:
            return circuits.by_threshold(edges, self.threshold)
        pick = circuits.greedy if self.choose == "greedy" else circuits.top_edges
        return pick(edges, min(self.count, len(edges)))

    def _curve(
        self, model: circuits.CircuitModel, pairs: circuits.Pairs, edges: EdgeScores
    ) -> circuits.Curve:
        with progress("measuring circuits of other sizes") as step:
            return circuits.curve(model, pairs, edges, choose=str(self.choose), progress=step)
