"""Concentration: find relevance that collapsed on one entry of each row, though many count.

A statistic that carries relevance in the place of the values does this: the largest entry of a row,
from which its scale is computed, takes what belongs to all of them.
"""

from __future__ import annotations

from .budget import Budget
from .evidence import Evidence
from .finding import Finding, Status
from .row_sums import MANY

UNIT = "of |R| at the largest entry of a row"
ADVICE = (
    "look where one entry decides: a scale computed from a row's largest entry, a statistic that"
    " carries relevance beside the values that it scales, or a stopped path that leaves only one"
    " (lrp coverage lists them). If the model does read a single entry, raise `concentration`"
)


def check_concentration(evidence: Evidence, budget: Budget) -> Finding:
    """Hold the share of |R| that is at the largest entry of each row, for every source."""
    limit, rows = budget.concentration, evidence.rows
    worst = max(rows, key=lambda name: rows[name].share, default=None)
    if worst is None or not rows[worst].total:
        return Finding("concentration", Status.PASSED, f"no row has {MANY} entries that count")
    share = rows[worst].share
    if share <= limit:
        return Finding("concentration", Status.PASSED, f"most at {worst}", share, limit, UNIT)
    message = f"relevance of {worst} collapsed: one entry of each row has {share:.3g} of it"
    return Finding(
        "concentration", Status.FAILED, message, share, limit, UNIT, evidence.reader(worst), ADVICE
    )
