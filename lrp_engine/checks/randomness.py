"""Randomness: whether the model draws random numbers, so that every call explains another draw."""

from __future__ import annotations

from ..graphs.randomness import describe_draws
from .budget import Budget
from .evidence import SEED, Evidence
from .finding import Finding, Place, Status


def check_randomness(evidence: Evidence, budget: Budget) -> Finding:
    """Pass if the model draws nothing; else say where it draws. There is no limit."""
    draws = evidence.engine.captured.draws
    if not draws:
        return Finding("randomness", Status.PASSED, "the model draws no random numbers")
    return Finding(
        "randomness",
        Status.UNLIMITED,
        f"the model draws random numbers ({describe_draws(draws)}): checked with seed {SEED};"
        " another seed gives other numbers",
        measured=float(len(draws)),
        unit="ops that draw",
        place=Place.of(draws[0]),
        advice="switch the noise off, or explain with a seed and compare several",
    )
