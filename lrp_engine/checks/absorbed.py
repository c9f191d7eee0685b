"""Absorbed: hold biases, constants, stabilisers and the like to a share of the relevance."""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Mapping

from .budget import Budget
from .evidence import Evidence
from .finding import Finding, Place, Status

TOTAL = "total"
UNIT = "of the relevance that set out"

ADVICE: Mapping[str, str] = {
    "bias": "the bias of this op outweighs its inputs: check the training run and the loaded"
    " weights; inputs far from the training data have this effect, too",
    "stabiliser": "epsilon is large beside this op's result: choose a smaller one in the preset",
    "taylor": "the first-order term misses much of this op: compare with a preset that stops it",
    "stopped": "a stopped path carried much of the output: see the preset's rule for this op",
    "unreached input": "an input that is explained nowhere gives this: see the check of inputs",
    "control": "an input that only switches or scales chose this amount: its value is a constant",
    "other input": "an input that is not among the chosen sources gives this: name it as well",
    "constant": "a constant in the model's code gives much of this op's result",
}
_OTHER = "look at the rule of this op: it books this cause"

Shares = Mapping[str, Mapping[str, float]]


def check_absorbed(evidence: Evidence, budget: Budget) -> Finding:
    """Hold each cause to its share: sum over ops of |absorbed| over the output's sum of |R|."""
    by_cause = absorbed_shares(evidence)
    totals = {cause: sum(found.values()) for cause, found in by_cause.items()}
    total = sum(totals.values())
    details = tuple(f"{cause}: {share:.3g}" for cause, share in _largest_first(totals))
    if not budget.absorbed:
        message = ", ".join(details) or "nothing"
        return Finding("absorbed", Status.UNLIMITED, message, total, None, UNIT)
    for cause, limit in budget.absorbed.items():
        share = total if cause == TOTAL else totals.get(cause, 0.0)
        if not share <= limit:
            return _over(evidence, by_cause, cause, share, limit, details)
    unseen = sorted(set(budget.absorbed) - set(totals) - {TOTAL} - set(ADVICE))
    message = (", ".join(details) or "nothing") + _misspelt(unseen, totals)
    tightest = budget.absorbed.get(TOTAL)
    return Finding("absorbed", Status.PASSED, message, total, tightest, UNIT)


def absorbed_shares(evidence: Evidence) -> Shares:
    """Return what each cause absorbs at each node, as shares summed over all batches."""
    sent = evidence.sent() or 1.0
    found: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for ledger in evidence.ledgers:
        for account in ledger.accounts:
            for cause, amount in account.absorbed.items():
                found[cause][account.node] += abs(amount) / sent
    return found


def _over(
    evidence: Evidence,
    by_cause: Shares,
    cause: str,
    share: float,
    limit: float,
    details: tuple[str, ...],
) -> Finding:
    causes = list(by_cause) if cause == TOTAL else [cause]
    rows = [(amount, node, c) for c in causes for node, amount in by_cause[c].items()]
    rows.sort(key=lambda row: -row[0])
    amount, node, worst = rows[0]
    places = [(a, c, evidence.place(n)) for a, n, c in rows[:5]]
    return Finding(
        "absorbed",
        Status.FAILED,
        f"{'all causes together' if cause == TOTAL else cause} took {share:.3g} of the relevance"
        f" that set out; most of it, {amount:.3g}, at {node}",
        share,
        limit,
        UNIT,
        evidence.place(node),
        ADVICE.get(worst, _OTHER),
        (*details, *(f"{a:.3g} {c} at {_short(p)}" for a, c, p in places)),
    )


def _short(place: Place | None) -> str:
    return f"{place.node} in {place.module or '(root)'}" if place else "?"


def _largest_first(totals: Mapping[str, float]) -> list[tuple[str, float]]:
    return sorted(totals.items(), key=lambda item: -item[1])


def _misspelt(unseen: list[str], totals: Mapping[str, float]) -> str:
    """Name the limited causes that no op books: they may be misspelt."""
    hints = []
    for cause in unseen:
        close = difflib.get_close_matches(cause, [*totals, *ADVICE], n=1)
        hints.append(f"{cause!r}" + (f" (did you mean {close[0]!r}?)" if close else ""))
    return f"; no op absorbs {', '.join(hints)}" if hints else ""
