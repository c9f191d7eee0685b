"""Compare scores with exact patching on a sample, and choose an estimator by such a sample."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..errors import InputError
from .agreement import MeasuredComponent, Verification, summarise_agreement
from .circuit_model import CircuitModel
from .estimators import ESTIMATORS, Estimator, find_estimator
from .pairs import Pairs
from .patching import Progress, patch
from .run_pair import run_both
from .scores import Component, Scores
from .scoring import compare


def verify(
    model: CircuitModel,
    pairs: Pairs,
    scores: Scores,
    *,
    sample: int = 64,
    top: int = 16,
    seed: int = 0,
    progress: Progress | None = None,
) -> Scores:
    """Patch a random sample and the top components exactly; return scores with a `Verification`.

    The sample is drawn among components whose activations differ between the runs at all.

    Args:
        model: the model that was scored.
        pairs: the pairs that were scored.
        scores: the scores to verify.
        sample: how many components are drawn at random.
        top: how many components of highest score are measured.
        seed: of the random draw.
        progress: called as `progress(done, all)` after each patch.

    Raises:
        InputError: fewer than three components differ between the runs.

    Example:
        >>> from lrp_engine.demo.ioi import ioi_subject
        >>> from lrp_engine.circuits import score
        >>> model, pairs = ioi_subject()
        >>> scores = verify(model, pairs, score(model, pairs, "mlp_out"), sample=20, top=4)
        >>> scores.verification.pearson > 0.5
        True
    """
    return _verify_all(model, pairs, [scores], _Sampling(sample, top, seed), progress)[0]


@dataclass(frozen=True)
class Choice:
    """The chosen estimator, and every candidate's agreement on the same sample."""

    estimator: Estimator
    verifications: Mapping[str, Verification]

    def table(self) -> str:
        """Write the candidates as text, best first: agreement, and what scores at a cut sum to."""
        rows = sorted(self.verifications.values(), key=_quality, reverse=True)
        width = max(len(v.estimator) for v in rows)
        lines = [f"{v.estimator:{width}}  {v.measured}{_sum_text(v)}" for v in rows]
        return "\n".join([*lines, f"chosen: {self.estimator.name}"])


def choose_estimator(
    model: CircuitModel,
    pairs: Pairs,
    components: Iterable[str] | str = ("resid_pre", "attn_out", "mlp_out"),
    *,
    estimators: Sequence[str | Estimator] = tuple(ESTIMATORS),
    sample: int = 96,
    top: int = 8,
    seed: int = 0,
    slack: float = 0.01,
    progress: Progress | None = None,
) -> Choice:
    """Choose the estimator that agrees best with exact patching on a random sample of components.

    Quality is the mean of Pearson and rank correlation; among those within `slack` of the best,
    the one with the fewest passes is taken. Every candidate is measured on the same components.
    Neither correlation sees the size of scores: `Choice.table` shows their error and their sum.

    Args:
        model: the model to score.
        pairs: a batch of clean and corrupt prompts with their metric.
        components: kinds, hook names or module paths, or globs of these.
        estimators: the candidates.
        sample: how many components are drawn at random.
        top: how many components of highest score are measured, per candidate.
        seed: of the random draw.
        slack: how much quality may be given up for fewer passes.
        progress: called as `progress(done, all)` after each patch.

    Raises:
        InputError: fewer than three components differ between the runs.
    """
    candidates = [find_estimator(e) for e in estimators]
    found = compare(model, pairs, components, estimators=candidates)
    verified = _verify_all(model, pairs, found, _Sampling(sample, top, seed), progress)
    by_name = {s.estimator: s.verification for s in verified if s.verification is not None}
    best = max(map(_quality, by_name.values()))
    close = [e for e in candidates if _quality(by_name[e.name]) >= best - slack]
    picked = min(close, key=lambda e: (e.passes, -_quality(by_name[e.name])))
    return Choice(picked, by_name)


@dataclass(frozen=True)
class _Sampling:
    """The number of components to measure: `count` at random, and the `top` of every estimator."""

    count: int
    top: int
    seed: int

    def draw(self, components: Sequence[Component]) -> list[Component]:
        generator = torch.Generator().manual_seed(self.seed)
        order = torch.randperm(len(components), generator=generator)[: self.count].tolist()
        return [components[i] for i in order]


def _sum_text(v: Verification) -> str:
    """Return which part of the metric's difference the scores sum to at the cut farthest off."""
    found = v.sums.ratios.values()
    return f", sum {max(found, key=lambda r: abs(r - 1)):.2f}" if found else ""


def _quality(v: Verification) -> float:
    return (v.pearson + v.rank) / 2


def _verify_all(
    model: CircuitModel,
    pairs: Pairs,
    several: Sequence[Scores],
    sampling: _Sampling,
    progress: Progress | None,
) -> list[Scores]:
    """Measure the random sample and every estimator's top once; compare each with both."""
    everything = list(_differing(model, pairs, several[0]))
    if len(everything) < 3:
        raise InputError(
            f"{len(everything)} components differ between the clean and the corrupt run; a"
            " correlation needs at least three: choose more components or other prompts"
        )
    drawn = sampling.draw(everything)
    tops = {s.estimator: [c for c, _ in s.top(sampling.top)] for s in several}
    wanted = list(dict.fromkeys([*drawn, *(c for found in tops.values() for c in found)]))
    exact = patch(model, pairs, (), only=wanted, direction=several[0].direction, progress=progress)
    return [
        replace(s, verification=_compare(s, exact, drawn, wanted, set(tops[s.estimator])))
        for s in several
    ]


def _differing(model: CircuitModel, pairs: Pairs, scores: Scores) -> Iterator[Component]:
    """Yield components whose activations differ between the runs; others agree at 0 trivially."""
    runs = run_both(model, pairs, [s.node for s in scores.sites], scores.direction)
    moved = {s.name: s.sum_features(runs.delta(s.node).abs()).sum(0) for s in scores.sites}
    for component, _ in scores.components():
        if float(moved[component.site.name][component.index]) > 0:
            yield component


def _compare(
    scores: Scores,
    exact: Scores,
    drawn: Sequence[Component],
    wanted: Sequence[Component],
    tops: set[Component],
) -> Verification:
    sampled = set(drawn)
    rows = [_measured(scores.of(c), exact.of(c), c, c in tops) for c in wanted]
    return summarise_agreement(
        scores.estimator, rows, [i for i, c in enumerate(wanted) if c in sampled], scores.cut_sums
    )


def _measured(estimates: Tensor, exacts: Tensor, c: Component, top: bool) -> MeasuredComponent:
    return MeasuredComponent(
        name=c.name,
        estimate=float(estimates.mean()),
        exact=float(exacts.mean()),
        top=top,
        estimates=tuple(estimates.tolist()),
        exacts=tuple(exacts.tolist()),
    )
