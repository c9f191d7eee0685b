"""The two questions put to every rule. Tests of the checker put them to rules that are wrong."""

from __future__ import annotations

from .cases import Case, balance, call_of, relevance_of
from .references import REFERENCES, Reference


def reference_of(case: Case) -> Reference:
    """The slow definition of a case's rule."""
    return REFERENCES[case.op.family, case.rule.name]


def assert_matches_definition(case: Case, reference: Reference | None = None) -> None:
    """The rule's relevance is the definition's, entry by entry, to 1e-10 of its largest entry."""
    expected = (reference or reference_of(case))(*call_of(case), **case.parameters)
    found = relevance_of(case)
    assert found.keys() == expected.keys()
    size = max(float(r.abs().max()) for r in expected.values())
    for operand, relevance in expected.items():
        error = float((found[operand].double() - relevance).abs().max())
        assert error <= 1e-10 * size, f"{case}: {operand} is off by {error:.1e} of {size:.1e}"


def assert_balanced(case: Case) -> None:
    """received = passed + absorbed, to 1e-12 of the sum of |R|."""
    received, passed, absorbed, size = balance(case)
    residual = received - passed - sum(absorbed.values())
    assert abs(residual) <= 1e-12 * size, (
        f"{case}: received {received}, passed {passed}, absorbed {absorbed}: {residual:.1e} missing"
    )
