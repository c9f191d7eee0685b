"""What each rule for weighted sums claims to conserve, on random sums: hypothesis draws them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lrp_engine.graphs.schema import Operand
from lrp_engine.method.op import Op
from lrp_engine.method.registry import standard
from lrp_engine.method.rule import Rule
from lrp_engine.method.samples import Sample, real, sample
from lrp_engine.testing.rule_case import RuleCase, balance, forms

from .cases import settings as settings_of
from .checks import assert_balanced

aten = torch.ops.aten

RULES = [
    rule
    for (family, name), rule in standard().rules.items()
    if family == "weighted_sum" and not rule.stops and rule.runs == 1
]
CLAIMED = {"bias", "stabiliser", "filter"}


def linear(draw: st.DrawFn, bias: bool) -> tuple[Op, Sample]:
    batch, n, m = (draw(st.integers(1, 5)) for _ in range(3))
    call = sample(real(batch, n), real(m, n), *([real(m)] if bias else []))
    return standard().ops[aten.linear.default][0], call


def convolution(draw: st.DrawFn, bias: bool) -> tuple[Op, Sample]:
    groups, kernel = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    stride, padding, dilation = (draw(st.integers(a, 2)) for a in (1, 0, 1))
    size = draw(st.integers((kernel - 1) * dilation + 1, 7))
    weight = real(2 * groups, draw(st.integers(1, 2)), kernel)
    x = real(draw(st.integers(1, 2)), weight_inputs(weight) * groups, size)
    b = real(2 * groups) if bias else None
    call = sample(x, weight, b, [stride], [padding], [dilation], groups)
    return standard().ops[aten.conv1d.default][0], call


def weight_inputs(weight) -> int:
    """How many channels each filter sees."""
    return weight.draw(torch.Generator(), torch.float64).shape[1]


@st.composite
def sums(draw: st.DrawFn) -> tuple[Op, Sample, bool]:
    """An op, a call of it, whether it has a bias."""
    bias = draw(st.booleans())
    kind = draw(st.sampled_from([linear, convolution]))
    return *kind(draw, bias), bias


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(sums(), st.integers(0, 20), st.data())
def test_a_rule_keeps_its_claim(
    rule: Rule, drawn: tuple[Op, Sample, bool], seed: int, data: st.DataObject
) -> None:
    """received = passed + absorbed, and absorbed only by what the rule names."""
    op, call, bias = drawn
    case = RuleCase(
        op=replace(op, samples=(call,) * (seed + 1)),
        rule=rule,
        sample=seed,
        live=(Operand("input"),),
        parameters=data.draw(st.sampled_from(settings_of(rule))),
        form=data.draw(st.sampled_from(forms(rule, op, (Operand("input"),)))),
    )
    assert_balanced(case)
    absorbed = balance(case)[2]
    assert set(absorbed) <= CLAIMED
    assert bias or "bias" not in absorbed
