"""Drift: compare the relevance of the same samples with the golden result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from .budget import Budget, relative_error_for
from .evidence import Evidence
from .finding import Finding, Status
from .golden import Golden, KeptRelevance

UNIT = "of the golden sum of |R|"
ADVICE = (
    "if the change is meant (a new model, preset or engine), look at the new explanations and write"
    " the golden result anew with lrp check --update; if not, undo what changed"
)


@dataclass(frozen=True)
class WorstDrift:
    """The sample that drifted most, and where; the smallest correlation."""

    source: str
    sample: int
    error: float
    correlation: float


def check_drift(evidence: Evidence, budget: Budget) -> Finding:
    """Hold relative error and correlation of R with the golden result to their limits."""
    golden = evidence.golden
    if golden is None:
        return Finding("drift", Status.SKIPPED, "there is no golden result")
    reason = find_mismatch(golden.kept, evidence.kept)
    if reason:
        return Finding("drift", Status.FAILED, reason + _since(evidence, golden), advice=ADVICE)
    limit = budget.relative_error
    if limit is None:
        limit = relative_error_for(evidence.engine.provenance.dtype)
    worst = find_worst_drift(golden.kept, evidence.kept)
    message = (
        f"most in sample {worst.sample} at {worst.source}; smallest correlation"
        f" {worst.correlation:.6f} (at least {budget.correlation:g})"
    )
    good = worst.error <= limit and worst.correlation >= budget.correlation
    status = Status.PASSED if good else Status.FAILED
    if good:
        return Finding("drift", status, message, worst.error, limit, UNIT)
    # Only now, because it reads all parameters.
    message += _since(evidence, golden)
    return Finding("drift", status, message, worst.error, limit, UNIT, None, ADVICE)


def _since(evidence: Evidence, golden: Golden) -> str:
    why = golden.differences(evidence.engine, evidence.kept)
    return f"; changed since: {', '.join(why)}" if why else ""


def find_worst_drift(before: KeptRelevance, now: KeptRelevance) -> WorstDrift:
    """Return the sample with the largest relative error, and the smallest correlation of any.

    All sources of a sample are taken together: one that carries next to nothing cannot drift far.
    """
    then, entries = _joined(before.entries, before), _joined(now.entries, before)
    error = _relative((entries - then).abs().sum(1), then.abs().sum(1))
    sums, sizes = _joined(before.sums, before), _joined(now.sums, before)
    error = error.maximum(_relative((sizes - sums).abs().amax(1), sums.abs().amax(1)))
    correlation = _correlation(entries, then)
    sample = int(error.nan_to_num(nan=torch.inf).argmax())
    return WorstDrift(
        source=_changed_most(before, now, sample),
        sample=sample,
        error=float(error[sample]),
        correlation=float(correlation.nan_to_num(nan=-1.0).min()),
    )


def _joined(table: Mapping[str, Tensor], order: KeptRelevance) -> Tensor:
    return torch.cat([table[source].double() for source in order.entries], 1)


def _relative(difference: Tensor, size: Tensor) -> Tensor:
    """Divide, with 0 where nothing differs, also where there was no relevance at all."""
    return torch.where(difference == 0, torch.zeros_like(size), difference / size)


def _changed_most(then: KeptRelevance, now: KeptRelevance, sample: int) -> str:
    def change(source: str) -> float:
        difference = now.entries[source][sample].double() - then.entries[source][sample].double()
        return float(difference.abs().sum())

    return max(then.entries, key=change)


def _correlation(a: Tensor, b: Tensor) -> Tensor:
    """Return Pearson's correlation of rows (N, M): (N,); 1 where both rows are equal."""
    a, b = a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True)
    norm = a.norm(dim=1) * b.norm(dim=1)
    same = (a - b).norm(dim=1) <= 1e-12 * b.norm(dim=1)
    return torch.where(same, torch.ones_like(norm), (a * b).sum(1) / norm)


def find_mismatch(then: KeptRelevance, now: KeptRelevance) -> str:
    """Say why the two cannot be compared; empty if they can."""
    if set(then.entries) != set(now.entries):
        return f"sources were {', '.join(then.entries)}, they are {', '.join(now.entries)}"
    for source, entries in now.entries.items():
        if then.entries[source].shape != entries.shape:
            old, new = tuple(then.entries[source].shape), tuple(entries.shape)
            return f"relevance at {source} had shape {old} (samples, entries), it has {new}"
    return ""
