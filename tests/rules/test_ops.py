"""Every op of the registry under every rule of its family: definition, and conservation."""

from __future__ import annotations

from collections import defaultdict

import pytest

from lrp_engine.method.call import Form
from lrp_engine.testing.rule_case import RuleCase, relevance_of

from .cases import all_cases
from .checks import assert_balanced, assert_matches_definition, assert_relevance_is


def op_and_rule(case: RuleCase) -> str:
    """`linear.default-weighted_sum.epsilon`."""
    return str(case).split("-")[0] + f"-{case.op.family}.{case.rule.name}"


def grouped() -> dict[str, list[RuleCase]]:
    found: dict[str, list[RuleCase]] = defaultdict(list)
    for case in all_cases():
        found[op_and_rule(case)].append(case)
    return dict(found)


GROUPS = grouped()


@pytest.mark.parametrize("name", GROUPS)
def test_rule_gives_what_its_definition_gives(name: str) -> None:
    for case in GROUPS[name]:
        other = case.with_form(Form.COEFFICIENT)
        if case.form is Form.RELEVANCE and other in GROUPS[name]:
            # The other form was compared with the definition.
            assert_relevance_is(relevance_of(other), relevance_of(case), str(case))
        else:
            assert_matches_definition(case)


@pytest.mark.parametrize("name", GROUPS)
def test_received_is_passed_plus_absorbed(name: str) -> None:
    for case in GROUPS[name]:
        assert_balanced(case)
