"""Residual: check that each op passes on or absorbs what it received, up to rounding."""

from __future__ import annotations

from ..propagate.ledger import Imbalance
from .budget import Budget
from .evidence import Evidence
from .finding import Finding, Status

UNIT = "of an op's sum of |R|"
ADVICE = (
    "the rule of this op passes on more or less than it received and does not say why: compare it"
    " with its formula, and let `absorbs` name what it keeps. If the error is near the limit and"
    " the op sums very many terms, a wider dtype helps; see docs/tolerances.md before you raise it"
)
NOTHING = "relevance is 0 at every op in every sample, so that nothing was checked"
CHOOSE = "explain an output that is not 0: another target, or other inputs"
LOST = (
    "a rule returned None for an operand that was live, or relevance arrived where no source is:"
    " compare the plan (lrp coverage --plan) with what you expect"
)


def check_residual(evidence: Evidence, budget: Budget) -> Finding:
    """Hold every op's account, and every batch as a whole, to the limit."""
    limit = evidence.ledgers[0].tolerance if budget.residual is None else budget.residual
    for ledger in evidence.ledgers:
        imbalance = ledger.find_imbalance(limit)
        if imbalance is not None:
            return _failed(imbalance, evidence)
    if not any(a.size for ledger in evidence.ledgers for a in ledger.accounts):
        return Finding("residual", Status.FAILED, NOTHING, 0.0, limit, UNIT, advice=CHOOSE)
    worst = max((a.error for ledger in evidence.ledgers for a in ledger.accounts), default=0.0)
    count = len(evidence.ledgers[0].accounts)
    return Finding("residual", Status.PASSED, f"all {count} accounts balance", worst, limit, UNIT)


def _failed(imbalance: Imbalance, evidence: Evidence) -> Finding:
    account = imbalance.account
    if account is None:
        place, message, advice = None, imbalance.message, LOST
    else:
        place, advice = evidence.place(account.node), ADVICE
        message = f"under rule {account.rule}: {imbalance.message}"
    return Finding(
        "residual", Status.FAILED, message, imbalance.error, imbalance.limit, UNIT, place, advice
    )
