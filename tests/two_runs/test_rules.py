"""Rules of two runs on every op: exact, symmetric, and the gradient in the limit."""

from __future__ import annotations

from collections import defaultdict

import pytest
import torch

from lrp_engine.graphs.schema import substitute
from lrp_engine.method.op import Move, Rounding, Selection
from lrp_engine.method.registry import standard
from lrp_engine.rules.two_runs import attention_blocks
from lrp_engine.rules.two_runs.secant import is_entrywise_choice
from lrp_engine.rules.two_runs.selection import candidates_of
from tests.two_runs.calls import (
    TwoRunCase,
    all_cases,
    arriving,
    came,
    close,
    left,
    passed_on,
    swapped,
    two_runs,
)

# Ops that pick several entries by order: the mean of both runs' choices, the rest booked.
BY_ORDER = {"topk", "sort", "kthvalue", "median", "cummax", "cummin", "scatter_reduce"}
BY_ORDER |= {"index_reduce", "segment_reduce"}


def grouped() -> dict[str, list[TwoRunCase]]:
    found: dict[str, list[TwoRunCase]] = defaultdict(list)
    for case in all_cases():
        found[str(case).split("-")[0]].append(case)
    return dict(found)


GROUPS = grouped()


def is_exact(case: TwoRunCase) -> bool:
    if isinstance(case.op, Rounding):
        return False
    name = str(case.op.target).removeprefix("aten.").split(".")[0]
    ordered = name in BY_ORDER and isinstance(case.op, Selection)
    return not ordered or case.op.target is torch.ops.aten.median.default


def test_every_family_that_passes_relevance_has_a_rule() -> None:
    registry = standard()
    families = {f for f, name in registry.rules if not registry.rules[f, name].stops}
    assert {f for f, name in registry.rules if name == "delta"} == families


@pytest.mark.parametrize("name", GROUPS)
def test_difference_is_passed_on_exactly(name: str) -> None:
    for case in GROUPS[name]:
        call = case.call()
        passed = passed_on(case, call)
        came_in, went = came(call), left(call, passed)
        absorbed = case.rule.absorbs(call, arriving(call), passed)
        booked = sum(float(v) for v in absorbed.values())
        assert abs(came_in - went - booked) <= 1e-12 * max(1.0, abs(came_in)), str(case)
        if is_exact(case):
            assert abs(came_in - went) <= 1e-12 * max(1.0, abs(came_in)), str(case)


def test_a_wrong_rule_would_be_noticed() -> None:
    """The gradient of one run in the place of each rule: exact for what is linear, else not."""
    wrong = set()
    for case in all_cases():
        rule = standard().rules.get((case.op.family, "gradient"))
        if rule is not None and not rule.stops and not isinstance(case.op, Rounding):
            call = case.call()
            with torch.no_grad():
                passed = rule.propagate(call, arriving(call))
            if abs(came(call) - left(call, passed)) > 1e-12 * max(1.0, abs(came(call))):
                wrong.add(case.op.family)
    assert wrong >= {"pointwise", "product", "quotient", "softmax", "attention", "normalisation"}
    assert not wrong & {"linear", "weighted_sum"}


def test_blocks_of_queries_are_one_attention(monkeypatch: pytest.MonkeyPatch) -> None:
    cases = [case for case in all_cases() if case.op.family == "attention"]
    whole = [passed_on(case, case.call()) for case in cases]
    monkeypatch.setattr(attention_blocks, "BLOCK_ENTRIES", 1)
    for case, once in zip(cases, whole, strict=True):
        for k, other in zip(once, passed_on(case, case.call()), strict=True):
            assert close(k, other, 1e-14), str(case)


@pytest.mark.parametrize("name", GROUPS)
def test_exchanging_the_runs_changes_nothing(name: str) -> None:
    for case in GROUPS[name]:
        call = case.call()
        there, back = passed_on(case, call), passed_on(case, swapped(call))
        for k, other in zip(there, back, strict=True):
            assert close(k, other, 1e-11), str(case)


@pytest.mark.parametrize("name", GROUPS)
def test_equal_runs_give_the_gradient(name: str) -> None:
    for case in GROUPS[name]:
        if isinstance(case.op, Rounding):
            continue
        call = case.call()
        same = two_runs(case.op, case.live, dict(call.arguments), dict(call.arguments))
        found = passed_on(case, same)
        assert all(bool(k.isfinite().all()) for k in found), str(case)
        names = ("adjoint", "gradient") if isinstance(case.op, Move) else ("gradient", "adjoint")
        found_rules = [standard().rules.get((case.op.family, name)) for name in names]
        gradient = next(rule for rule in found_rules if rule is not None)
        with torch.no_grad():
            wanted = gradient.propagate(same, arriving(same))
        for k, g in zip(found, wanted, strict=True):
            assert g is None or close(k, g, 1e-7), str(case)


@pytest.mark.parametrize("name", GROUPS)
def test_nearly_equal_runs_give_nearly_the_gradient(name: str) -> None:
    """No cancellation: a difference of a rounding error has no slope of its own."""
    for case in GROUPS[name]:
        op = case.op
        exact_choice = isinstance(op, Selection) and not is_entrywise_choice(op)
        if isinstance(op, Rounding) or (exact_choice and candidates_of(case.call()) is None):
            continue
        b = dict(case.call().arguments)
        call = two_runs(op, case.live, b, b)
        nudged = {o: call.operand(o) * (1 + 1e-15) for o in case.live}
        near = passed_on(case, two_runs(op, case.live, b, substitute(b, nudged)))
        for k, same in zip(near, passed_on(case, call), strict=True):
            assert close(k, same, 1e-6), str(case)
