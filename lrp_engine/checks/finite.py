"""Finite: no NaN and no infinity in the model, its relevance, or the ledger."""

from __future__ import annotations

import math

from ..propagate.ledger import Account
from .budget import Budget
from .evidence import Evidence
from .finding import Finding, Status

IN_MODEL = (
    "the explanation is not to blame, the model's own numbers are: look at the weights that were"
    " loaded, the scale of the inputs, and overflow in low precision"
)
IN_RELEVANCE = (
    "look at what this op divides by and at the dtype: a larger stabiliser (epsilon) or a wider"
    " dtype for this op keeps its relevance finite"
)


def finite(evidence: Evidence, budget: Budget) -> Finding:
    """Names the first op of the forward pass, or of the relevance pass, that is not finite."""
    spoiled = evidence.spoiled
    if spoiled is not None:
        return Finding("finite", Status.FAILED, spoiled.what, place=spoiled.place, advice=IN_MODEL)
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
