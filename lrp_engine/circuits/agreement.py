"""Summarise how far an estimate agrees with exact patching, and what that means in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor


class Trust(Enum):
    """The trust that scores deserve, by their agreement on the measured components."""

    VALUES = "trust the scores: sizes and order agree with exact patching"
    ORDER = "trust the order more than the sizes: confirm what matters by exact patching"
    HINT = "take the scores as a hint where to look: confirm every component by exact patching"
    NONE = "do not trust these scores: they say no more than chance about exact patching"


@dataclass(frozen=True)
class MeasuredComponent:
    """One component: its estimate and what exact patching gives, in units of the metric."""

    name: str
    estimate: float
    exact: float
    top: bool


@dataclass(frozen=True)
class Verification:
    """Agreement with exact patching on a random sample of components plus the top ones.

    `pearson` and `rank` (Spearman) are over all measured components, `pearson_sample` and
    `rank_sample` over the random sample alone, which the choice of the top does not flatter.
    `top_effect` and `random_effect` are the mean absolute exact effects of the top components and
    of the random ones: an estimator that finds nothing has a ratio of 1.
    """

    estimator: str
    rows: tuple[MeasuredComponent, ...]
    pearson: float
    rank: float
    pearson_sample: float
    rank_sample: float
    top_effect: float
    random_effect: float

    @property
    def trust(self) -> Trust:
        """The trust by both correlations, over all measured and over the sample alone."""
        r = min(self.pearson, self.pearson_sample)
        if min(r, self.rank) > 0.9:
            return Trust.VALUES
        if self.pearson > 0.7 and self.rank > 0.6:
            return Trust.ORDER
        if self.pearson > 0.3 and self.top_effect > 1.5 * self.random_effect:
            return Trust.HINT
        return Trust.NONE

    @property
    def statement(self) -> str:
        """The agreement as one plain sentence."""
        tops = sum(row.top for row in self.rows)
        ratio = self.top_effect / self.random_effect if self.random_effect else float("inf")
        return (
            f"{self.estimator}: {self.trust.value}. Pearson {self.pearson:.3f}, rank"
            f" {self.rank:.3f} with exact patching on {len(self.rows)} components"
            f" (random sample alone: {self.pearson_sample:.3f}, {self.rank_sample:.3f}); the"
            f" {tops} components of highest score have {ratio:.1f} times the effect of random ones."
        )


def summarise_agreement(
    estimator: str, rows: Sequence[MeasuredComponent], sample: Sequence[int]
) -> Verification:
    """Summarise measured components.

    Args:
        estimator: the name of what gave the estimates.
        rows: the components, each measured once.
        sample: indices of the rows that were drawn at random.
    """
    estimate = torch.tensor([row.estimate for row in rows], dtype=torch.float64)
    exact = torch.tensor([row.exact for row in rows], dtype=torch.float64)
    drawn = torch.tensor(list(sample))
    tops = torch.tensor([i for i, row in enumerate(rows) if row.top])
    return Verification(
        estimator=estimator,
        rows=tuple(rows),
        pearson=pearson(estimate, exact),
        rank=spearman(estimate, exact),
        pearson_sample=pearson(estimate[drawn], exact[drawn]),
        rank_sample=spearman(estimate[drawn], exact[drawn]),
        top_effect=float(exact[tops].abs().mean()),
        random_effect=float(exact[drawn].abs().mean()),
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
