"""Finite: find NaN and infinity in the model, its relevance, or the ledger."""

from __future__ import annotations

import math

from ..propagate.ledger import Account
from .budget import Budget
from .evidence import Evidence
from .finding import Finding, Status

IN_MODEL = (
    "the model's own values are not finite, before anything is explained: check the weights that"
    " were loaded, the scale of the inputs, and overflow in low precision"
)
IN_RELEVANCE = (
    "look at what this op divides by and at the dtype: a larger stabiliser (epsilon) or a wider"
    " dtype for this op keeps its relevance finite"
)


def check_finite(evidence: Evidence, budget: Budget) -> Finding:
    """Name the first op of the forward pass, or of the relevance pass, that is not finite."""
    nonfinite = evidence.nonfinite
    if nonfinite is not None:
        return Finding(
            "finite", Status.FAILED, nonfinite.what, place=nonfinite.place, advice=IN_MODEL
        )
    for ledger in evidence.ledgers:
        for account in ledger.accounts:
            if not _is_finite(account):
                return Finding(
                    "finite",
                    Status.FAILED,
                    f"relevance is not finite: {account.text()}",
                    place=evidence.place(account.node),
                    advice=IN_RELEVANCE,
                )
    return Finding("finite", Status.PASSED, "all values and all relevance are finite")


def _is_finite(account: Account) -> bool:
    numbers = (account.received, account.passed, account.size, *account.absorbed.values())
    return all(map(math.isfinite, numbers))
