"""Settings that the samples beside the ops leave out: zeros, masks, shared heads, precision."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from lrp_engine.graphs.schema import invoke, substitute
from lrp_engine.method.call import Form
from lrp_engine.method.op import AtZero, Op, Pointwise
from lrp_engine.method.registry import standard
from lrp_engine.method.samples import (
    Sample,
    TensorSpec,
    real,
    sample,
)
from lrp_engine.testing.rule_case import RuleCase, apply, cases_of

from .checks import assert_balanced, assert_matches_definition

aten = torch.ops.aten


def with_samples(target: Any, *samples: Sample) -> list[RuleCase]:
    """Every case of an op on other samples than its own."""
    op = standard().ops[target][-1]
    cases = list(cases_of(op, standard()))
    return [
        replace(case, op=replace(op, samples=samples), sample=i)
        for case in cases
        if case.sample == 0
        for i in range(len(samples))
    ]


def visible(*shape: int) -> TensorSpec:
    """A mask in which every row sees at least its first entry."""

    def draw(g: torch.Generator, dtype: torch.dtype) -> Tensor:
        mask = torch.rand(shape, generator=g) > 0.5
        mask[..., 0] = True
        return mask

    return TensorSpec(draw)


_Q, _K, _V = real(1, 4, 3, 2), real(1, 4, 5, 2), real(1, 4, 5, 3)
_SHARED = real(1, 2, 5, 2)

ATTENTION = with_samples(
    aten.scaled_dot_product_attention.default,
    sample(_Q, _K, real(1, 4, 5, 2), visible(3, 5)),
    sample(_Q, _K, real(1, 4, 5, 2), real(1, 4, 3, 5)),
    sample(_Q, _K, real(1, 4, 5, 2), is_causal=True),
    sample(_Q, _K, _V, scale=0.3),
    sample(_Q, _SHARED, _SHARED, enable_gqa=True),
)


@pytest.mark.parametrize("case", ATTENTION, ids=str)
def test_attention_with_masks_scales_and_shared_heads(case: RuleCase) -> None:
    assert_matches_definition(case)
    assert_balanced(case)


ZEROS = [
    op
    for records in standard().ops.values()
    for op in records
    if isinstance(op, Pointwise) and op.at_zero is AtZero.ZERO
]


def one_sided(case: RuleCase, x: Tensor) -> float:
    """f(x)/x, computed in double precision."""
    (operand,) = case.live
    out = invoke(case.op.target, substitute(case.arguments(), {operand: x.double()}))
    return float(out[0] / x[0])


@pytest.mark.parametrize("op", ZEROS, ids=lambda op: str(op.target))
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_an_activation_at_zero_takes_the_limit(op: Op, dtype: torch.dtype) -> None:
    """f(h)/h for h -> 0: between the two one-sided limits, or 0 where there is none."""
    for case in cases_of(op, standard()):
        if case.rule.name != "identity" or case.form is Form.RELEVANCE:
            continue
        given = op.samples[case.sample]
        if any(isinstance(a, Tensor) and a.numel() > 1 for a in given.make()[0][1:]):
            continue  # each entry has a limit of its own
        at_zero = Sample((torch.zeros(2, dtype=dtype), *given.args[1:]), given.kwargs)
        _, c, (back,) = apply(replace(case, op=replace(op, samples=(at_zero,)), sample=0))
        near = torch.full((1,), 1e-9, dtype=torch.float64)
        sides = sorted(s for s in map(one_sided, [case, case], [near, -near]) if abs(s) < 1e3)
        found, noise = float(back[0] / c[0]), 4 * torch.finfo(dtype).eps + 1e-6
        assert sides[0] - noise <= found <= sides[-1] + noise if sides else found == 0


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_rms_norm_holds_the_scale_that_the_op_used(dtype: torch.dtype) -> None:
    """Inputs so small that the default epsilon decides the scale."""
    x = TensorSpec(lambda g, _: torch.full((2, 4), 3e-4, dtype=dtype))
    for case in with_samples(aten.rms_norm.default, sample(x, [4])):
        if case.rule.name == "scale_stopped":
            call, c, (back,) = apply(case)
            scale = call.out.double() / call["input"].double()
            torch.testing.assert_close(
                back.double(), c.double() * scale, rtol=4 * torch.finfo(dtype).eps, atol=0
            )
