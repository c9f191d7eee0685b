"""Every op of the registry under every rule of its family: definition, and conservation."""

from __future__ import annotations

import pytest

from lrp_engine.testing.cases import Case

from .cases import all_cases
from .checks import assert_balanced, assert_matches_definition


@pytest.mark.parametrize("case", all_cases(), ids=str)
def test_rule_gives_what_its_definition_gives(case: Case) -> None:
    assert_matches_definition(case)


@pytest.mark.parametrize("case", all_cases(), ids=str)
def test_received_is_passed_plus_absorbed(case: Case) -> None:
    assert_balanced(case)
