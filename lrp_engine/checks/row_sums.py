"""Sum how relevance is spread over rows: what the check of concentration judges."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor

from ..results.explanation import Explanation

MANY = 16  # entries: of fewer, one may well carry most of the relevance


class RowSums(NamedTuple):
    """Sums over the rows of a source that have many entries, in the unit of the explained number.

    `largest` sums |R| of the largest entry of each row, `total` that of all entries.
    """

    largest: float = 0.0
    total: float = 0.0

    @property
    def share(self) -> float:
        """The share of the largest entries; 0 without rows."""
        return self.largest / self.total if self.total else 0.0


def add_rows(before: Mapping[str, RowSums], explanation: Explanation) -> dict[str, RowSums]:
    """Return the sums of all sources with one batch added."""
    found = dict(before)
    for name, relevance in explanation.relevance.items():
        sums = _sum_rows(relevance.detach(), explanation.coefficient[name].detach())
        old = found.get(name, RowSums())
        found[name] = RowSums(old.largest + sums.largest, old.total + sums.total)
    return found


def _sum_rows(relevance: Tensor, c: Tensor) -> RowSums:
    """Sum over rows, each with at least 16 entries that are not merely 0.

    A row is the last axis, or as many of the last axes as have 16 entries. An entry of value 0 has
    no relevance, however large its coefficient: where most are 0, relevance did not collapse.
    """
    axis = relevance.dim() - 1
    while axis > 1 and math.prod(relevance.shape[axis:]) < MANY:
        axis -= 1
    if axis < 1 or not relevance.numel():
        return RowSums()
    count = ((relevance != 0) | (c == 0)).flatten(axis).sum(-1)
    rows = relevance.double().abs().flatten(axis)[count >= MANY]
    return RowSums(float(rows.amax(-1).sum()), float(rows.sum())) if len(rows) else RowSums()
