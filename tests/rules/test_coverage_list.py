"""No op loses its record or changes its rule unseen; what has no record is listed with a reason."""

from __future__ import annotations

from lrp_engine.method.registry import standard

from .core_gaps import GAPS, core_ops, without_record
from .coverage_list import LIST, lines


def test_the_committed_list_is_the_registry() -> None:
    committed, now = set(LIST.read_text().split("\n")[:-1]), set(lines())
    assert not committed - now, "lost; if on purpose: python -m tests.rules.coverage_list"
    assert not now - committed, "new: python -m tests.rules.coverage_list"


def test_every_core_op_has_a_record_or_a_reason() -> None:
    missing = without_record(standard())
    assert missing - GAPS.keys() == set(), "core ops without a record and without a reason"
    core = {str(op) for op in core_ops()}  # which ops are core differs between torch releases
    assert GAPS.keys() & core - missing == set(), "listed as gaps, and yet there"
