"""Amplification and growth: find ops at which |R| explodes, though every account balances."""

from __future__ import annotations

import math

from ..propagate.explosions import ADVICE, Explosion, carrying, find_explosion, growth_of
from ..propagate.ledger import Account, Ledger
from .budget import Budget
from .evidence import Evidence
from .finding import Finding, Status

PER_OP = "x the sum of |R| received"
IN_ALL = "x the sum of |R| that set out"


def check_amplification(evidence: Evidence, budget: Budget) -> Finding:
    """Hold the largest sum of |R_in| over sum of |R_out| of one op to its limit.

    The ratio is large where terms nearly cancel. Ops that neither receive nor pass on a thousandth
    of what left the output are not counted.
    """
    limit = budget.amplification
    for ledger in evidence.ledgers:
        explosion = find_explosion(ledger, limit, math.inf)
        if explosion is not None:
            return _over("amplification", evidence, explosion, PER_OP)
    found = filter(None, map(find_most_amplifying, evidence.ledgers))
    worst = max(found, key=lambda account: account.amplification, default=None)
    measured = worst.amplification if worst else 1.0
    message = f"most at {worst.node} ({worst.op}, rule {worst.rule})" if worst else "no op"
    return Finding("amplification", Status.PASSED, message, measured, limit, PER_OP)


def check_growth(evidence: Evidence, budget: Budget) -> Finding:
    """Hold the largest sum of |R| at one op, over that which set out from the output."""
    for ledger in evidence.ledgers:
        explosion = find_explosion(ledger, math.inf, budget.growth)
        if explosion is not None:
            return _over("growth", evidence, explosion, IN_ALL)
    worst = max(map(growth_of, evidence.ledgers), default=1.0)
    message = "positive and negative relevance, all ops"
    return Finding("growth", Status.PASSED, message, worst, budget.growth, IN_ALL)


def find_most_amplifying(ledger: Ledger) -> Account | None:
    """Return the account with the largest amplification; None if no op carries enough relevance."""
    return max(carrying(ledger), key=lambda account: account.amplification, default=None)


def _over(check: str, evidence: Evidence, explosion: Explosion, unit: str) -> Finding:
    account = explosion.account
    return Finding(
        check,
        Status.FAILED,
        f"under rule {account.rule}: {explosion.text()}",
        explosion.measured,
        explosion.limit,
        unit,
        evidence.place(account.node),
        ADVICE,
    )
