"""The two questions put to every rule. Tests of the checker put them to rules that are wrong."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from lrp_engine.graphs.schema import Operand
from lrp_engine.testing.rule_case import (
    RuleCase,
    balance,
    call_of,
    relevance_of,
)

from .references import REFERENCES

Relevance = Mapping[Operand, Tensor]


def definition(case: RuleCase) -> Relevance:
    """What a case's rule should give, by its slow definition."""
    return REFERENCES[case.op.family, case.rule.name](*call_of(case), **case.parameters)


def assert_relevance_is(expected: Relevance, found: Relevance, where: str = "") -> None:
    """Equal entry by entry, to 1e-10 of the largest entry."""
    assert found.keys() == expected.keys(), where
    size = max(float(r.abs().max()) for r in expected.values())
    for operand, relevance in expected.items():
        error = float((found[operand].double() - relevance).abs().max())
        assert error <= 1e-10 * size, f"{where}: {operand} is off by {error:.1e} of {size:.1e}"


def assert_matches_definition(case: RuleCase) -> None:
    """The rule, run directly on its call, gives what its definition gives."""
    assert_relevance_is(definition(case), relevance_of(case), str(case))


def assert_balanced(case: RuleCase) -> None:
    """received = passed + absorbed, to 1e-12 of the sum of |R|."""
    received, passed, absorbed, size = balance(case)
    residual = received - passed - sum(absorbed.values())
    assert abs(residual) <= 1e-12 * size, (
        f"{case}: received {received}, passed {passed}, absorbed {absorbed}: {residual:.1e} missing"
    )
