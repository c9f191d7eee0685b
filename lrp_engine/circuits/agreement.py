"""Summarise how far an estimate agrees with exact patching, and what that means in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor

from .magnitudes import CutSums


class Trust(Enum):
    """The trust that scores deserve, by their agreement on the measured components."""

    VALUES = "trust the scores: sizes and order agree with exact patching"
    ORDER = "trust the order more than the sizes: confirm what matters by exact patching"
    HINT = "take the scores as a hint where to look: confirm every component by exact patching"
    NONE = "do not trust these scores: they say no more than chance about exact patching"


# Beyond this relative error, the sizes of scores say little about the sizes of effects.
_LARGE_ERROR = 0.5


@dataclass(frozen=True)
class Agreement:
    """Agreement of estimated effects with exact ones.

    `pearson` and `rank` (Spearman) compare means over prompts, `per_prompt` is the mean of each
    prompt's own Pearson correlation, and `error` the RMS difference over components and prompts as
    a part of the RMS exact effect: 0 is exact, 1 as far off as estimating zero. Correlations are
    blind to scale; the error is not.
    """

    pearson: float
    rank: float
    per_prompt: float
    error: float

    def __str__(self) -> str:
        """Write the figures as text."""
        return (
            f"Pearson {self.pearson:.3f} (per prompt {self.per_prompt:.3f}), rank {self.rank:.3f},"
            f" relative RMS error {self.error:.3f}"
        )


@dataclass(frozen=True)
class MeasuredComponent:
    """One component: its estimate and what exact patching gives, in units of the metric.

    Means over prompts, then prompt by prompt.
    """

    name: str
    estimate: float
    exact: float
    top: bool
    estimates: tuple[float, ...]
    exacts: tuple[float, ...]


@dataclass(frozen=True)
class Verification:
    """Agreement with exact patching on a random sample of components plus the top ones.

    `measured` is over all measured components, `sample` over the random sample alone, which the
    choice of the top does not flatter. `top_effect` and `random_effect` are the mean absolute exact
    effects of the top components and of the random ones: an estimator that finds nothing has a
    ratio of 1. `sums` compares all scores at full cuts with the metric's difference.
    """

    estimator: str
    rows: tuple[MeasuredComponent, ...]
    measured: Agreement
    sample: Agreement
    top_effect: float
    random_effect: float
    sums: CutSums

    @property
    def pearson(self) -> float:
        """Pearson's correlation of mean scores over all measured components."""
        return self.measured.pearson

    @property
    def rank(self) -> float:
        """The rank correlation of mean scores over all measured components."""
        return self.measured.rank

    @property
    def trust(self) -> Trust:
        """The trust by both correlations and the error, over all measured and the sample alone."""
        r = min(self.pearson, self.sample.pearson)
        if min(r, self.rank) > 0.9 and self.warning is None:
            return Trust.VALUES
        if self.pearson > 0.7 and self.rank > 0.6:
            return Trust.ORDER
        if self.pearson > 0.3 and self.top_effect > 1.5 * self.random_effect:
            return Trust.HINT
        return Trust.NONE

    @property
    def warning(self) -> str | None:
        """Advice where magnitudes are off; else None."""
        if self.sums.warning is not None:
            return self.sums.warning
        if self.measured.error <= _LARGE_ERROR:
            return None
        return (
            f"magnitudes are off: scores differ from exact effects by {self.measured.error:.2f} of"
            " their size (relative RMS error). Read them as an order"
        )

    @property
    def statement(self) -> str:
        """The agreement as plain sentences."""
        tops = sum(row.top for row in self.rows)
        ratio = self.top_effect / self.random_effect if self.random_effect else float("inf")
        said = (
            f"{self.estimator}: {self.trust.value}. {self.measured} with exact patching on"
            f" {len(self.rows)} components (random sample alone: {self.sample}); the"
            f" {tops} components of highest score have {ratio:.1f} times the effect of random ones."
        )
        more = [self.sums.statement, self.warning]
        return " ".join([said, *(f"{line[0].upper()}{line[1:]}." for line in more if line)])


def summarise_agreement(
    estimator: str, rows: Sequence[MeasuredComponent], sample: Sequence[int], sums: CutSums
) -> Verification:
    """Summarise measured components.

    Args:
        estimator: the name of what gave the estimates.
        rows: the components, each measured once.
        sample: indices of the rows that were drawn at random.
        sums: all scores at full cuts.
    """
    estimates = torch.tensor([row.estimates for row in rows], dtype=torch.float64)
    exacts = torch.tensor([row.exacts for row in rows], dtype=torch.float64)
    drawn = torch.tensor(list(sample))
    effects = exacts.mean(1).abs()
    return Verification(
        estimator=estimator,
        rows=tuple(rows),
        measured=measure_agreement(estimates, exacts),
        sample=measure_agreement(estimates[drawn], exacts[drawn]),
        top_effect=float(effects[torch.tensor([row.top for row in rows])].mean()),
        random_effect=float(effects[drawn].mean()),
        sums=sums,
    )


def measure_agreement(estimates: Tensor, exacts: Tensor) -> Agreement:
    """Compare estimated with exact effects, (component, prompt) each."""
    estimates, exacts = estimates.double(), exacts.double()
    means = estimates.mean(1), exacts.mean(1)
    prompts = zip(estimates.T, exacts.T, strict=True)
    per_prompt = [pearson(*prompt) for prompt in prompts]
    size, off = float(exacts.norm()), float((estimates - exacts).norm())
    return Agreement(
        pearson=pearson(*means),
        rank=spearman(*means),
        per_prompt=sum(per_prompt) / len(per_prompt),
        error=off / size if size > 0 else float("inf") if off > 0 else 0.0,
    )


def pearson(a: Tensor, b: Tensor) -> float:
    """Return Pearson's correlation of two vectors; 0 where one of them is constant."""
    a, b = a.double() - a.double().mean(), b.double() - b.double().mean()
    norm = float(a.norm() * b.norm())
    return float(a @ b) / norm if norm > 0 else 0.0


def spearman(a: Tensor, b: Tensor) -> float:
    """Return the rank correlation: Pearson's of the ranks, equal values sharing their mean rank."""
    return pearson(ranks(a), ranks(b))


def ranks(x: Tensor) -> Tensor:
    """Return the rank of each entry from 0, ties at their mean."""
    _, group, counts = torch.unique(x, return_inverse=True, return_counts=True)
    last = counts.cumsum(0).double()
    means: Tensor = last - (counts.double() + 1) / 2
    return means[group]
