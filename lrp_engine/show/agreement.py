"""Say how far explanations of one number agree."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def pearson(a: Tensor, b: Tensor) -> float:
    """Return the correlation of two tensors of one shape; not a number where one is constant."""
    x, y = (t.double().flatten() - t.double().mean() for t in (a, b))
    size = float(x.norm() * y.norm())
    return float(x @ y) / size if size else float("nan")


def rank_correlation(a: Tensor, b: Tensor) -> float:
    """Return the correlation of ranks (Spearman); equal entries share the mean of their ranks."""
    return pearson(ranks(a), ranks(b))


def ranks(values: Tensor) -> Tensor:
    """Return the rank of each entry, from 0; equal ones share the mean of theirs."""
    flat = values.flatten()
    _, place, counts = torch.unique(flat, return_inverse=True, return_counts=True)
    last = counts.cumsum(0) - 1
    found: Tensor = (last - (counts - 1) / 2)[place]
    return found


def agreement_table(names: Sequence[str], maps: Sequence[Tensor]) -> list[list[str]]:
    """Return a table of every pair: Pearson above the diagonal, rank correlation below it."""
    rows = [["Pearson above, rank below", *names]]
    for i, name in enumerate(names):
        cells = [
            "" if i == j else _number((pearson if i < j else rank_correlation)(maps[i], maps[j]))
            for j in range(len(names))
        ]
        rows.append([name, *cells])
    return rows


def _number(correlation: float) -> str:
    return "undefined" if correlation != correlation else f"{correlation:.2f}".replace("-", "−")
