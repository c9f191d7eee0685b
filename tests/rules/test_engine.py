"""The same cases through the whole engine: capture, assignment, propagation, ledger."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import fx

from lrp_engine.method.registry import standard
from lrp_engine.preset.preset import plain_value
from lrp_engine.preset.preset_file import load
from lrp_engine.testing.rule_case import RuleCase

from .bench import Bench, explained, preset_file
from .cases import all_cases
from .checks import assert_relevance_is, definition

aten = torch.ops.aten

SOME = 4
OF_THE_BENCH = {aten.sum.default, aten.add.Tensor}


def key(case: RuleCase) -> str:
    """Cases of one family under one rule share a model."""
    extra = "".join(f"-{k}={v}" for k, v in case.parameters.items())
    return f"{case.op.family}.{case.rule.name}{extra}"


def plain_parameters(case: RuleCase) -> dict[str, Any]:
    """As they stand in a preset file."""
    return {k: plain_value(v) for k, v in case.parameters.items()}


def captured_as(case: RuleCase) -> str:
    """The op's name in a captured graph: torch has several for a batch norm."""
    name = str(case.op.target)
    return "*batch_norm*" if "batch_norm" in name else name


def usual(case: RuleCase) -> bool:
    """Whether the default preset uses this rule as it is."""
    entry = load("attnlrp", standard()).choose(fx.Graph().placeholder("x"), case.op.family)
    return (entry.use, dict(entry.parameters)) == (case.rule.name, dict(case.parameters))


def chosen(cases: Iterable[RuleCase]) -> tuple[RuleCase, ...]:
    """Each op once, with all operands live that can be; of an unusual rule only some ops."""
    widest = {case.op.target: case for case in sorted(cases, key=lambda c: len(c.live))}
    found = list(widest.values())
    return tuple(found if usual(found[0]) else found[:: -(-len(found) // SOME)])


GROUPS = {name: chosen(cases) for name, cases in groupby(sorted(all_cases(), key=key), key)}


def is_variant(name: str) -> bool:
    """Whether a group has other parameters than the rule's own: test_ops.py runs those as well."""
    rule = GROUPS[name][0].rule
    return dict(GROUPS[name][0].parameters) != dict(rule.parameters)


NAMES = [pytest.param(n, marks=[pytest.mark.slow] if is_variant(n) else []) for n in GROUPS]


@pytest.mark.parametrize("name", NAMES)
def test_captured_and_propagated_as_defined(name: str, tmp_path: Path) -> None:
    cases, rule = GROUPS[name], GROUPS[name][0].rule
    row = {"family": rule.family, "use": rule.name, **plain_parameters(cases[0])}
    rows = [row]
    if rule.serves is not None:
        # Only where it is meant for: the bench's own sums keep their rule.
        cases = tuple(case for case in cases if case.op.target not in OF_THE_BENCH)
        rows = [row | {"op": captured_as(case)} for case in cases]
    bench = Bench(cases)
    result = explained(bench, preset_file(tmp_path, *rows))
    found = bench.split(list(result.relevance.values()))
    for case, relevance in zip(cases, found, strict=True):
        assert_relevance_is(definition(case), relevance, str(case))
    assert result.ledger.worst.error <= 1e-12
    assert abs(result.ledger.residual) <= 1e-12 * sum(a.size for a in result.ledger.accounts)
