"""Holds scores against exact patching on a sample, and picks an estimator by such a sample."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from ..errors import InputError
from .agreement import Measured, Verification, verification_of
from .circuit_model import CircuitModel
from .estimators import (
    ESTIMATORS,
    Estimator,
    both_runs,
    compare,
    estimator,
)
from .pairs import Pairs
from .patching import Progress, patch
from .scores import Component, Scores


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
    """The same scores with a `Verification`: exact patching of a random sample and of the top.

    The sample is drawn among components whose activations differ between the runs at all.

    Raises InputError if there are fewer than three components.

    Example:
        >>> from lrp_engine.demo.ioi import ioi_subject
        >>> from lrp_engine.circuits import score
        >>> model, pairs = ioi_subject()
        >>> scores = verify(model, pairs, score(model, pairs, "mlp_out"), sample=20, top=4)
        >>> scores.verification.pearson > 0.5
        True
    """
    return _verified(model, pairs, [scores], sample, top, seed, progress)[0]


@dataclass(frozen=True)
class Choice:
    """The estimator picked, and how every candidate did on the same sample."""

    estimator: Estimator
    verifications: Mapping[str, Verification]

    def table(self) -> str:
        """The candidates, best first: Pearson, rank, passes per batch."""
        rows = sorted(self.verifications.values(), key=_quality, reverse=True)
        lines = [f"{v.estimator:10} Pearson {v.pearson:.3f}  rank {v.rank:.3f}" for v in rows]
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
    """Picks the estimator that agrees best with exact patching on a random sample of components.

    Quality is the mean of Pearson and rank correlation; among those within `slack` of the best,
    the one with the fewest passes is taken. Every candidate is measured on the same components.
    """
    chosen = [estimator(e) for e in estimators]
    found = compare(model, pairs, components, estimators=chosen)
    verified = _verified(model, pairs, found, sample, top, seed, progress)
    by_name = {s.estimator: s.verification for s in verified if s.verification is not None}
    best = max(map(_quality, by_name.values()))
    close = [e for e in chosen if _quality(by_name[e.name]) >= best - slack]
    picked = min(close, key=lambda e: (e.passes, -_quality(by_name[e.name])))
    return Choice(picked, by_name)


def _quality(v: Verification) -> float:
    return (v.pearson + v.rank) / 2


def _verified(
    model: CircuitModel,
    pairs: Pairs,
    several: Sequence[Scores],
    sample: int,
    top: int,
    seed: int,
    progress: Progress | None,
) -> list[Scores]:
    """Measures the random sample and every estimator's top once; each is held against both."""
    everything = list(_differing(model, pairs, several[0]))
    if len(everything) < 3:
        raise InputError("a correlation needs at least three components that differ between runs")
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(everything), generator=generator)[:sample].tolist()
    drawn = [everything[i] for i in order]
    tops = {s.estimator: [c for c, _ in s.top(top)] for s in several}
    wanted = list(dict.fromkeys([*drawn, *(c for found in tops.values() for c in found)]))
    exact = patch(model, pairs, (), only=wanted, direction=several[0].direction, progress=progress)
    truth = dict(exact.components())
    return [
        replace(s, verification=_held_against(s, truth, drawn, wanted, set(tops[s.estimator])))
        for s in several
    ]


def _differing(model: CircuitModel, pairs: Pairs, scores: Scores) -> Iterator[Component]:
    """Components whose activations differ between the runs; the others agree at 0 trivially."""
    both = both_runs(model, pairs, [s.node for s in scores.sites], scores.direction)
    moved = {s.name: s.reduced(both.delta(s.node).abs()).sum(0) for s in scores.sites}
    for component, _ in scores.components():
        place = tuple(i for i in (component.position, component.unit) if i is not None)
        if float(moved[component.site.name][place]) > 0:
            yield component


def _held_against(
    scores: Scores,
    truth: Mapping[Component, float],
    drawn: Sequence[Component],
    wanted: Sequence[Component],
    tops: set[Component],
) -> Verification:
    estimate, sampled = dict(scores.components()), set(drawn)
    rows = [Measured(c.name, estimate[c], truth[c], c in tops) for c in wanted]
    return verification_of(
        scores.estimator, rows, [i for i, c in enumerate(wanted) if c in sampled]
    )
