"""Asserts for tests: every op is covered, relevance is conserved, the explanation is unchanged.

The pytest plugin offers them as fixtures of the same names; they work in any test framework.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..engine import Engine
from ..errors import BudgetError, CoverageError
from ..plan.prepare import ModelSource
from ..propagate.explosions import find_explosion
from ..propagate.ledger import Ledger
from ..results.explanation import Explanation
from .absorbed import TOTAL
from .budget import relative_error_for
from .coverage import describe_uncovered
from .drift import find_mismatch, find_worst_drift
from .golden import KeptRelevance, keep_batch, list_changes


def assert_covered(model: ModelSource | Engine, inputs: object = None, **options: Any) -> Engine:
    """Assert that every live op of a model has a rule, and return its engine.

    Args:
        model: A model to capture, or an engine, which is returned as it is.
        inputs: Example inputs, as for `Engine`.
        **options: The other arguments of `Engine`.

    Raises:
        AssertionError: lists every op without a rule, with its module and source line.

    >>> import torch
    >>> engine = assert_covered(torch.nn.Linear(4, 3).eval(), torch.ones(1, 4), preset="epsilon")
    """
    __tracebackhide__ = True
    if isinstance(model, Engine):
        return model
    try:
        return Engine(model, inputs, **options)
    except CoverageError as error:
        raise AssertionError(describe_uncovered(error).text()) from error


def assert_conserved(
    explanation: Explanation,
    tolerance: float | None = None,
    *,
    absorbed: Mapping[str, float] | None = None,
    amplification: float | None = None,
    growth: float | None = None,
) -> None:
    """Assert that every op's account balances, and that little is absorbed or amplified.

    Args:
        explanation: An explanation with a ledger.
        tolerance: Largest residual relative to an op's sum of |R|; default by dtype.
        absorbed: Largest shares of the relevance that left the output, by cause or as `total`.
        amplification: Largest ratio of |R| passed on to |R| received, for any op; default 1e4.
        growth: Largest ratio of an op's sum of |R| to what set out from the output; default 1e5.

    Raises:
        AssertionError: names the first op that breaks a limit.
    """
    __tracebackhide__ = True
    ledger = explanation.ledger
    imbalance = ledger.find_imbalance(tolerance)
    if imbalance is not None:
        raise AssertionError(f"not conserved: {imbalance}\n{ledger}")
    for cause, most in (absorbed or {}).items():
        _assert_absorbed(ledger, cause, most)
    explosion = find_explosion(ledger, amplification, growth)
    if explosion is not None:
        raise AssertionError(str(explosion))


def assert_same_explanation(
    found: Explanation,
    expected: Explanation | str | Path,
    *,
    correlation: float = 0.999,
    relative_error: float | None = None,
) -> None:
    """Assert that every sample's relevance is that of another explanation, or of a saved one.

    Args:
        found: The explanation to test.
        expected: An explanation, or the path of a saved one.
        correlation: Smallest correlation of a sample's relevance with the expected one.
        relative_error: Largest difference relative to a sample's sum of |R|; default by dtype.

    Raises:
        AssertionError: names the sample that differs most and what else changed in between.
    """
    __tracebackhide__ = True
    if not isinstance(expected, Explanation):
        expected = _loaded(Path(expected))
    now, then = _whole(found), _whole(expected)
    since = list_changes(expected.provenance, found.provenance)
    about = f"\n  changed since: {', '.join(since)}" if since else ""
    reason = find_mismatch(then, now)
    if reason:
        raise AssertionError(f"these cannot be compared: {reason}{about}")
    limit = relative_error_for(found.provenance.dtype) if relative_error is None else relative_error
    worst = find_worst_drift(then, now)
    if not worst.error <= limit or not worst.correlation >= correlation:
        raise AssertionError(
            f"the explanation differs: relative error {worst.error:.3g} (at most {limit:g}) in"
            f" sample {worst.sample}, most of it at {worst.source}; smallest correlation"
            f" {worst.correlation:.6f} (at least {correlation:g}){about}"
        )


def _assert_absorbed(ledger: Ledger, cause: str, most: float) -> None:
    __tracebackhide__ = True
    rows = [
        (abs(amount) / (ledger.sent or 1.0), account)
        for account in ledger.accounts
        for name, amount in account.absorbed.items()
        if cause in (name, TOTAL)
    ]
    share = sum(amount for amount, _ in rows)
    if not share <= most:
        largest, account = max(rows, key=lambda row: row[0])
        raise AssertionError(
            f"{cause} took {share:.3g} of the relevance that set out (at most {most:g}); most of"
            f" it, {largest:.3g}, at {account.node} = {account.op} in {account.place}"
        )


def _loaded(path: Path) -> Explanation:
    if not path.exists():
        raise BudgetError(
            f"there is no saved explanation {path}: write it with explanation.save(path), or run"
            " pytest --lrp-update"
        )
    return Explanation.load(path)


def _whole(explanation: Explanation) -> KeptRelevance:
    return keep_batch(
        KeptRelevance(), explanation, samples=len(explanation.explained), entries=None
    )
