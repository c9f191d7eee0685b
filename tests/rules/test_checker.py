"""The checks are checked: rules that are wrong on purpose must be found out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lrp_engine.errors import ConservationError
from lrp_engine.method.call import Call, Coefficients
from lrp_engine.method.relevance import sum_relevance
from lrp_engine.method.samples import real, sample
from lrp_engine.rules import epsilon, product
from lrp_engine.testing.rule_case import RuleCase

from .bench import Bench, explained, preset_file
from .cases import all_cases
from .checks import assert_balanced, assert_matches_definition, definition
from .references import REFERENCES


def case_of(name: str) -> RuleCase:
    (case,) = [c for c in all_cases() if str(c) == name]
    return case


LINEAR = case_of("linear.default-weighted_sum.zero-0-input")
_MATRIX = case_of("mm.default-weighted_sum.zero-0-self")
SQUARE = replace(_MATRIX, op=replace(_MATRIX.op, samples=(sample(real(3, 3), real(3, 3)),)))
PRODUCT = case_of("mul.Tensor-product.uniform-0-self+other")
SUM = case_of("add.Tensor-linear.adjoint-0-self+other")


def twice(call: Call, c: Any) -> Coefficients:
    return tuple(2 * back for back in epsilon.zero.propagate(call, c))


def wrong_way_round(call: Call, c: Tensor) -> Coefficients:
    """c W where c W^T is right; only a square weight lets it through at all."""
    return call.only(c @ call[call.op.weight])


def first_only(call: Call, c: Any) -> Coefficients:
    first, *rest = product.uniform.propagate(call, c)
    return (first, *(torch.zeros_like(back) for back in rest))


def undivided(call: Call, c: Any) -> Coefficients:
    return call.vjp(c)


def all_to_the_first(call: Call, c: Any) -> Coefficients:
    """The total is right, the shares are not."""
    first, second = product.uniform.propagate(call, c)
    return (2 * first, torch.zeros_like(second))


def forgets_bias(call: Call, c: Tensor, passed: Coefficients) -> Mapping[str, Tensor]:
    return {}


def doubles_bias(call: Call, c: Tensor, passed: Coefficients) -> Mapping[str, Tensor]:
    return {"bias": 2 * sum_relevance(c, call["bias"].expand_as(c))}


def wrong(case: RuleCase, **changes: Any) -> RuleCase:
    """The case under a rule that differs from its own."""
    return replace(case, rule=replace(case.rule, **changes))


WRONG_RESULT: dict[str, RuleCase] = {
    "twice the relevance": wrong(LINEAR, propagate=twice),
    "the weight not transposed": wrong(SQUARE, propagate=wrong_way_round),
    "an operand left out": wrong(PRODUCT, propagate=first_only),
    "a product not divided": wrong(PRODUCT, propagate=undivided),
    "all to the first factor": wrong(PRODUCT, propagate=all_to_the_first),
}
WRONG_BOOKS: dict[str, RuleCase] = {
    "twice the relevance": WRONG_RESULT["twice the relevance"],
    "the weight not transposed": WRONG_RESULT["the weight not transposed"],
    "an operand left out": WRONG_RESULT["an operand left out"],
    "a product not divided": WRONG_RESULT["a product not divided"],
    "the bias forgotten": wrong(LINEAR, absorbs=forgets_bias),
    "the bias booked twice": wrong(LINEAR, absorbs=doubles_bias),
}


@pytest.mark.parametrize("case", [LINEAR, SQUARE, PRODUCT, SUM], ids=str)
def test_the_right_rules_pass(case: RuleCase) -> None:
    assert_matches_definition(case)
    assert_balanced(case)


@pytest.mark.parametrize("name", WRONG_RESULT)
def test_the_definition_finds_a_wrong_result(name: str) -> None:
    with pytest.raises(AssertionError, match="is off by"):
        assert_matches_definition(WRONG_RESULT[name])


@pytest.mark.parametrize("name", WRONG_BOOKS)
def test_the_balance_finds_wrong_books(name: str) -> None:
    with pytest.raises(AssertionError, match="missing"):
        assert_balanced(WRONG_BOOKS[name])


@pytest.mark.parametrize("name", WRONG_BOOKS)
def test_the_ledger_finds_wrong_books(name: str, tmp_path: Path) -> None:
    case = WRONG_BOOKS[name]
    rule = replace(case.rule, name="wrong")
    preset = preset_file(tmp_path, {"family": rule.family, "use": "wrong"})
    result = explained(Bench([case]), preset, rules=[rule])
    with pytest.raises(ConservationError, match="under rule wrong"):
        result.ledger.check()


def test_conservation_alone_does_not_find_wrong_shares() -> None:
    """Why every rule has a definition beside it."""
    assert_balanced(WRONG_RESULT["all to the first factor"])


@pytest.mark.parametrize("key", [k for k in REFERENCES if k[1] != "gradient"])
def test_every_definition_finds_a_small_error(key: tuple[str, str]) -> None:
    case = next(c for c in all_cases() if (c.op.family, c.rule.name) == key)

    def slightly_off(call: Call, c: Any, **parameters: Any) -> Coefficients:
        passed = case.rule.propagate(call, c, **parameters)
        return tuple(back * (1 + 1e-8) for back in passed)

    with pytest.raises(AssertionError, match="is off by"):
        assert_matches_definition(wrong(case, propagate=slightly_off))


def test_a_definition_that_ignores_the_rule_would_be_noticed() -> None:
    """Definitions of different rules differ where the rules do."""
    both = case_of("mul.Tensor-product.gradient-0-self+other")
    split = definition(PRODUCT)
    assert all(torch.equal(r, 2 * split[o]) for o, r in definition(both).items())


def test_masked_entries_book_nothing() -> None:
    """-inf with coefficient zero is worth zero; anything else would not be finite."""
    c, scores = torch.tensor([0.5, 0.0]), torch.tensor([2.0, -torch.inf])
    assert sum_relevance(c, scores) == 1.0
    assert not sum_relevance(torch.tensor([0.5, 0.1]), scores).isfinite()
