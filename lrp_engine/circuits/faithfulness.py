"""Measure what a circuit keeps of a model's behaviour, by ablating everything outside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .ablation import Ablation, EdgeAblator, prepare_ablation
from .agreement import Agreement, measure_agreement
from .circuit import INPUT, OUTPUT, Circuit, greedy, top_edges
from .circuit_model import CircuitModel
from .edges import EdgeScores
from .magnitudes import CutSums
from .pairs import Pairs
from .patching import Progress

# The circuit sizes of the MIB benchmark, as parts of all edges.
MIB_SIZES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)

Chooser = Callable[[EdgeScores, int], Circuit]
CHOOSERS: dict[str, Chooser] = {"top": top_edges, "greedy": greedy}


@dataclass(frozen=True)
class MetricRange:
    """The mean metric with everything kept, and with nothing kept."""

    full: float
    none: float

    def restored(self, metric: float) -> float:
        """Return f = (m - m(none)) / (m(all) - m(none)): 1 is the model, 0 the ablated run."""
        return (metric - self.none) / (self.full - self.none)


@dataclass(frozen=True)
class Curve:
    """Faithfulness over circuit size: f = (m(C) - m(none)) / (m(all) - m(none)), m averaged.

    `cpr`, the integrated circuit performance ratio, is the area under f over the part of edges that
    are kept (higher is better); `cmd`, the circuit-model distance, the area between f and 1 (lower
    is better), both by trapezoids over the sizes asked for (MIB, arXiv 2504.13151).
    """

    sizes: tuple[float, ...]
    edges: tuple[int, ...]
    faithfulness: tuple[float, ...]
    metric_all: float
    metric_none: float

    @property
    def cpr(self) -> float:
        """Area under f."""
        return _area(self.sizes, self.faithfulness)

    @property
    def cmd(self) -> float:
        """Area between f and 1."""
        return _area(self.sizes, [abs(1 - f) for f in self.faithfulness])


def _area(x: Sequence[float], y: Sequence[float]) -> float:
    return float(torch.trapezoid(torch.tensor(y), torch.tensor(x)))


def curve(
    model: CircuitModel,
    pairs: Pairs,
    edges: EdgeScores,
    *,
    sizes: Sequence[float] = MIB_SIZES,
    ablation: Ablation | str = Ablation.RESAMPLE,
    choose: str = "top",
    progress: Progress | None = None,
) -> Curve:
    """Measure the faithfulness of circuits of several sizes.

    Args:
        model: the model.
        pairs: a batch of clean and corrupt prompts with their metric.
        edges: scores of all edges; positive and negative ones count by size alike.
        sizes: parts of all edges that circuits keep.
        ablation: what stands in for what is cut.
        choose: how a circuit's edges are chosen: `top` or `greedy`.
        progress: called as `progress(done, all)` after each size.

    Example:
        >>> from lrp_engine.demo.ioi import ioi_subject
        >>> from lrp_engine.circuits import edge_scores
        >>> model, pairs = ioi_subject()
        >>> found = curve(model, pairs, edge_scores(model, pairs), sizes=(0.1, 1))
        >>> round(found.faithfulness[-1], 4)
        1.0
    """
    ablator = prepare_ablation(model, pairs, ablation)
    limits = _metric_range(ablator, edges)
    counts, faithfulness = [], []
    for done, size in enumerate(sizes):
        circuit = CHOOSERS[choose](edges, int(size * len(edges)))
        counts.append(len(circuit))
        faithfulness.append(limits.restored(_mean_metric(ablator, circuit)))
        if progress is not None:
            progress(done + 1, len(sizes))
    return Curve(tuple(sizes), tuple(counts), tuple(faithfulness), limits.full, limits.none)


@dataclass(frozen=True)
class Quality:
    """The quality of one circuit; the first three are parts of m(all) - m(none).

    faithfulness: f(C), what the circuit alone restores; completeness: 1 - f(all but C), what is
    lost without it (1: nothing of the behaviour is left outside); minimality: for each component,
    what f(C) loses when it is taken out of the circuit (near 0: it is not needed).

    agreement: of each component's score in the circuit, the sum of its edges, with what the metric
    loses when it is taken out (resampled); None for fewer than three components, or other prompts
    than those that were scored. sums: all edges out of the input and into the output, beside the
    metric's difference.
    """

    faithfulness: float
    completeness: float
    minimality: dict[str, float]
    agreement: Agreement | None
    sums: CutSums


def quality(
    model: CircuitModel,
    pairs: Pairs,
    circuit: Circuit,
    *,
    ablation: Ablation | str = Ablation.RESAMPLE,
    progress: Progress | None = None,
) -> Quality:
    """Measure faithfulness, completeness and minimality of a circuit.

    Args:
        model: the model.
        pairs: a batch of clean and corrupt prompts with their metric.
        circuit: the circuit; everything outside it is ablated.
        ablation: what stands in for what is cut.
        progress: called as `progress(done, all)` after each component of the circuit.

    Example:
        >>> from lrp_engine.demo.ioi import ioi_subject
        >>> from lrp_engine.circuits import edge_scores, top_edges
        >>> model, pairs = ioi_subject()
        >>> circuit = top_edges(edge_scores(model, pairs), 60)
        >>> quality(model, pairs, circuit).faithfulness > 0.9
        True
    """
    ablator = prepare_ablation(model, pairs, ablation)
    limits = _metric_range(ablator, circuit.edges)

    def restored(part: Circuit) -> float:
        return limits.restored(_mean_metric(ablator, part))

    whole, full = ablator.run(circuit), ablator.run(Circuit(circuit.edges, circuit.edges.possible))
    resampled = Ablation(ablation) is Ablation.RESAMPLE
    names = [n for n in circuit.components() if n not in (INPUT, OUTPUT)]
    lost = {}
    for done, name in enumerate(names):
        lost[name] = whole - ablator.run(circuit.without(name))
        if progress is not None:
            progress(done + 1, len(names))
    size = limits.full - limits.none
    return Quality(
        faithfulness=limits.restored(float(whole.mean())),
        completeness=1 - restored(circuit.complement()),
        minimality={name: float(found.mean()) / size for name, found in lost.items()},
        agreement=_compare_with_loss(circuit, full, lost) if resampled else None,
        sums=circuit.edges.cut_sums,
    )


def _compare_with_loss(
    circuit: Circuit, full: Tensor, lost: Mapping[str, Tensor]
) -> Agreement | None:
    """Compare scores in the circuit with losses, (batch,) each, where both are of the same prompts.

    `full` is the metric of the whole model: that of prompts which were scored is known.
    """
    edges, count = circuit.edges, len(full)
    scored = edges.clean[:count].to(full)
    if len(lost) < 3 or scored.shape != full.shape or not torch.allclose(scored, full, rtol=1e-3):
        return None
    kept = (edges.values[:count] * circuit.keep).sum(2).T
    rows = {w.name: row for w, row in zip(edges.writers, kept, strict=True)}
    estimates = torch.stack([rows[name] for name in lost])
    return measure_agreement(estimates, torch.stack(list(lost.values())))


def _mean_metric(ablator: EdgeAblator, circuit: Circuit) -> float:
    return float(ablator.run(circuit).mean())


def _metric_range(ablator: EdgeAblator, edges: EdgeScores) -> MetricRange:
    keeps: tuple[Tensor, Tensor] = (edges.possible, torch.zeros_like(edges.possible))
    full, none = (_mean_metric(ablator, Circuit(edges, keep)) for keep in keeps)
    return MetricRange(full, none)
