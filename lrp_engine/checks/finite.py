"""Finite: find NaN and infinity in the model, its relevance, or the ledger."""

from __future__ import annotations

from ..run.finiteness import ADVICE
from .budget import Budget
from .evidence import Evidence
from .finding import Finding, Status

IN_MODEL = (
    "the model's own values are not finite, before anything is explained: check the weights that"
    " were loaded, the scale of the inputs, and overflow in low precision"
)
IN_RELEVANCE = ADVICE[0].lower() + ADVICE[1:]


def check_finite(evidence: Evidence, budget: Budget) -> Finding:
    """Name the first op of the forward pass, or of the relevance pass, that is not finite."""
    nonfinite = evidence.nonfinite
    if nonfinite is not None:
        advice = IN_RELEVANCE if nonfinite.in_relevance else IN_MODEL
        return Finding(
            "finite", Status.FAILED, nonfinite.what, place=nonfinite.place, advice=advice
        )
    return Finding("finite", Status.PASSED, "all values and all relevance are finite")
