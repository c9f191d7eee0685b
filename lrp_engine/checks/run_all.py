"""Run all checks on one engine. The table of checks is data: a new check is one entry."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from ..engine import Engine
from ..errors import CoverageError
from ..run.target import Position, Target
from .absorbed import check_absorbed
from .amplification import check_amplification, check_growth
from .budget import Budget
from .concentration import check_concentration
from .coverage import check_coverage, describe_uncovered
from .drift import check_drift
from .evidence import Evidence, Given, gather
from .finding import Finding, Report, Status
from .finite import check_finite
from .golden import Golden
from .inputs import check_inputs
from .plan_drift import check_plan_drift
from .randomness import check_randomness
from .residual import check_residual

Check = Callable[[Evidence, Budget], Finding]

CHECKS: Mapping[str, Check] = {
    "coverage": check_coverage,
    "inputs": check_inputs,
    "finite": check_finite,
    "residual": check_residual,
    "absorbed": check_absorbed,
    "amplification": check_amplification,
    "growth": check_growth,
    "concentration": check_concentration,
    "plan drift": check_plan_drift,
    "drift": check_drift,
    "randomness": check_randomness,
}

# These checks work even if the model's own values are not finite.
_WITHOUT_NUMBERS = ("coverage", "inputs", "finite", "plan drift", "randomness")


def check(
    engine: Engine,
    inputs: object,
    target: Target = None,
    *,
    position: Position = None,
    budget: Budget | None = None,
    golden: Golden | None = None,
    name: str = "model",
) -> Report:
    """Run all checks on one batch.

    Args:
        engine: The engine to check.
        inputs: One batch, as for `Engine.explain`.
        target: As for `Engine.explain`.
        position: As for `Engine.explain`.
        budget: The limits; defaults by dtype.
        golden: A stored result to compare with.
        name: The model's name in the report.

    Raises:
        InputError: the inputs do not fit the model.
        TargetError: the target does not fit the output.
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
    """Run all checks over a data set, one explanation per batch."""
    evidence = gather(engine, batches, position=position, golden=golden)
    return judge(evidence, budget or Budget(), name)


def judge(evidence: Evidence, budget: Budget, name: str) -> Report:
    """Return the report of every check on the same evidence."""
    findings = []
    for title, test in CHECKS.items():
        if evidence.nonfinite and title not in _WITHOUT_NUMBERS:
            own = "the model's own values are"
            what = "relevance is" if evidence.nonfinite.in_relevance else own
            skipped = Finding(title, Status.SKIPPED, f"{what} not finite")
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
    """Return the report on a model with ops that have no rule: nothing else could be checked."""
    rest = [title for title in CHECKS if title != "coverage"]
    skipped = [Finding(title, Status.SKIPPED, "nothing was computed") for title in rest]
    return Report(name, (describe_uncovered(error), *skipped))
