"""Runs all checks on one engine. The table of checks is data: a new check is one entry."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..engine import Engine
from ..errors import CoverageError
from ..run.target import Position, Target
from .absorbed import absorbed
from .amplification import amplification
from .budget import Budget
from .coverage import coverage, uncovered
from .drift import drift
from .evidence import Evidence, Given, gather
from .finding import Finding, Report, Status
from .finite import finite
from .golden import Golden
from .plan_drift import plan_drift
from .residual import residual

Check = Callable[[Evidence, Budget], Finding]

CHECKS: Mapping[str, Check] = {
    "coverage": coverage,
    "finite": finite,
    "residual": residual,
    "absorbed": absorbed,
    "amplification": amplification,
    "plan drift": plan_drift,
    "drift": drift,
}

# What can be judged although the model's own numbers are not finite.
_WITHOUT_NUMBERS = ("coverage", "finite", "plan drift")


def check(
    engine: Engine,
    inputs: Any,
    target: Target = None,
    *,
    position: Position = None,
    budget: Budget | None = None,
    golden: Golden | None = None,
    name: str = "model",
) -> Report:
    """All checks on one batch.

    Raises InputError and TargetError for inputs and targets that do not fit.
    """
    evidence = gather(engine, [Given(inputs, target)], position=position, golden=golden)
    return judge(evidence, budget or Budget(), name)


def check_batches(
    engine: Engine,
    batches: Iterable[Given],
    *,
    position: Position = None,
    budget: Budget | None = None,
    golden: Golden | None = None,
    name: str = "model",
) -> Report:
    """All checks over a data set, one explanation per batch."""
    evidence = gather(engine, batches, position=position, golden=golden)
    return judge(evidence, budget or Budget(), name)


def judge(evidence: Evidence, budget: Budget, name: str) -> Report:
    """Every check's finding on the same evidence."""
    findings = []
    for title, test in CHECKS.items():
        if evidence.spoiled and title not in _WITHOUT_NUMBERS:
            skipped = Finding(title, Status.SKIPPED, "the model's own numbers are not finite")
            findings.append(skipped)
        else:
            findings.append(test(evidence, budget))
    return Report(
        name=name,
        findings=tuple(findings),
        samples=evidence.samples,
        ledger=evidence.ledger(),
        provenance=evidence.engine.provenance,
        coverage=evidence.engine.coverage().as_dict(),
    )


def report_uncovered(error: CoverageError, name: str) -> Report:
    """The report on a model with ops that have no rule: nothing else could be checked."""
    rest = [title for title in CHECKS if title != "coverage"]
    skipped = [Finding(title, Status.SKIPPED, "nothing was computed") for title in rest]
    return Report(name, (uncovered(error), *skipped))
