"""Amplification: find ops that pass on much more |R| than they receive."""

from __future__ import annotations

from ..propagate.ledger import Account, Ledger
from .budget import Budget
from .evidence import Evidence
from .finding import Finding, Status

UNIT = "x the sum of |R| received"
ADVICE = (
    "large terms of opposite sign nearly cancel here, so positive and negative relevance grow"
    " together: a stabilised rule (epsilon) or one that damps negative parts (gamma) keeps them"
    " small"
)

# Ratios of ops that carry next to nothing are noise.
_NEGLIGIBLE = 1e-3


def check_amplification(evidence: Evidence, budget: Budget) -> Finding:
    """Hold the largest sum of |R_in| over sum of |R_out| of one op to its limit.

    The ratio is large where terms nearly cancel. Ops that neither receive nor pass on a thousandth
    of what left the output are not counted.
    """
    limit = budget.amplification
    for ledger in evidence.ledgers:
        for account in _carrying(ledger):
            if limit is not None and not account.amplification <= limit:
                return _over(evidence, account, limit)
    found = filter(None, map(find_most_amplifying, evidence.ledgers))
    worst = max(found, key=lambda account: account.amplification, default=None)
    measured = worst.amplification if worst else 1.0
    message = f"most at {worst.node} ({worst.op}, rule {worst.rule})" if worst else "no op"
    status = Status.UNLIMITED if limit is None else Status.PASSED
    place = evidence.place(worst.node) if worst and limit is None else None
    return Finding("amplification", status, message, measured, limit, UNIT, place)


def find_most_amplifying(ledger: Ledger) -> Account | None:
    """Return the account with the largest amplification; None if no op carries enough relevance."""
    return max(_carrying(ledger), key=lambda account: account.amplification, default=None)


def _carrying(ledger: Ledger) -> list[Account]:
    return [a for a in ledger.accounts if a.size >= _NEGLIGIBLE * ledger.sent]


def _over(evidence: Evidence, account: Account, limit: float) -> Finding:
    return Finding(
        "amplification",
        Status.FAILED,
        f"under rule {account.rule}: sum of |R| grows from {account.size_received:.3g} to"
        f" {account.size_passed:.3g}",
        account.amplification,
        limit,
        UNIT,
        evidence.place(account.node),
        ADVICE,
    )
