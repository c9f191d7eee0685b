"""Coverage: every op that relevance would have to pass has a rule."""

from __future__ import annotations

from ..errors import CoverageError
from ..plan.assign import Uncovered
from .budget import Budget
from .evidence import Evidence
from .finding import Finding, Place, Status

ADVICE = (
    "give each of these ops a record (CONTRIBUTING.md, 'Add an op'; pass it as rules=[...]), choose"
    " a preset that serves its family, or write the layer with ops that have rules"
)


def check_coverage(evidence: Evidence, budget: Budget) -> Finding:
    """Pass, with the counts: an engine exists only if every live op has a rule."""
    found = evidence.engine.coverage()
    return Finding(
        "coverage", Status.PASSED, found.line(), measured=0.0, limit=0.0, unit="ops without a rule"
    )


def describe_uncovered(error: CoverageError) -> Finding:
    """Return the finding for a model whose ops have not all a rule, so that it has no engine."""
    ops = error.ops if isinstance(error, Uncovered) else ()
    return Finding(
        "coverage",
        Status.FAILED,
        f"{len(ops)} live op(s) without a rule; nothing was computed",
        measured=float(len(ops)),
        limit=0.0,
        unit="ops without a rule",
        place=Place.at(ops[0].name, ops[0].op, ops[0].origin) if ops else None,
        advice=ADVICE,
        details=tuple(op.description for op in ops),
    )
