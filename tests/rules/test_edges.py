"""Every entrywise record at the edge of its domain: c = 0 passes 0, and one convention at zero.

The convention: where a function is finite and its slope infinite or undefined, the slope is 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from lrp_engine.graphs.aten import aten
from lrp_engine.graphs.schema import Arguments, invoke, substitute
from lrp_engine.method.call import Call, Form
from lrp_engine.method.op import Homogeneous, Op
from lrp_engine.method.registry import standard
from lrp_engine.method.zeros import can_absorb, is_entrywise, pass_on
from lrp_engine.rules.homogeneous import euler
from lrp_engine.testing.rule_case import RuleCase, cases_of

from .cases import all_records

DENORMAL = 5e-324
FINITE = (0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 2.0, -2.0, 3.0, -3.0, 7.5, 800.0, -800.0)
INFINITE = (torch.inf, -torch.inf, torch.nan)
# Slopes that are finite numbers too large for the dtype: an error names them, if c is not 0.
OVERFLOWS = {
    *(aten.log.default, aten.log2.default, aten.log10.default, aten.logit.default),
    *(aten.rsqrt.default, aten.pow.Tensor_Scalar, aten.pow.Tensor_Tensor, aten.lgamma.default),
    aten.special_ndtri.default,  # sqrt(2 pi) e^(x^2 / 2) is 1e320 at x = -38.4
    *(aten.div.Tensor, aten.div.Tensor_mode, aten.fmod.Tensor, aten.remainder.Tensor),
    *(aten.clamp.Tensor, aten.clamp_min.Tensor, aten.clamp_min.default, aten.remainder.Scalar),
}


def entrywise() -> list[Op]:
    """Steps are left out: no slope of theirs is read, and their scales have dtypes of their own."""
    found = [op for op in all_records() if can_absorb(op) and is_entrywise(op) and op.operands]
    return [op for op in found if op.family != "rounding"]


def edge_calls(case: RuleCase, edges: tuple[float, ...]) -> Iterator[Call[Op]]:
    """The case's call with every pair of edges at its first live operand and at the others."""
    grid = torch.tensor(edges, dtype=torch.float64)
    first = grid.repeat_interleave(len(grid))
    for shift in range(2):
        turns = (first, grid.repeat(len(grid)))
        places = {o: turns[(i + shift) % 2] for i, o in enumerate(case.live)}
        arguments = _broadcast(substitute(case.arguments(), places), first)
        out = invoke(case.op.target, arguments)
        yield Call(case.op, arguments, case.live, out, form=case.form)


def _broadcast(arguments: Arguments, like: Tensor) -> Arguments:
    """Operands that carry no relevance become numbers that every shape takes."""
    floats = {
        name: torch.ones_like(like, dtype=a.dtype)
        for name, a in arguments.items()
        if isinstance(a, Tensor)
        and a.shape != like.shape
        and a.dtype.is_floating_point
        and a.numel() > 1
    }
    return {**arguments, **floats}


def declared(case: RuleCase, arguments: Arguments) -> bool:
    """Whether the record says that value and slope are finite at this call."""
    numbers = lambda a: isinstance(a, (int, float)) and a != 0  # noqa: E731
    return case.op.regular is not None and case.op.regular(arguments, numbers)


def cases() -> list[Any]:
    found = [case for op in entrywise() for case in cases_of(op, standard()) if case.rule.runs == 1]
    return [pytest.param(case, id=str(case)) for case in found]


def passed(call: Call[Op], case: RuleCase, c: Tensor, absorbs: bool) -> list[Tensor]:
    with torch.no_grad():
        found = pass_on(case.rule, call, c, case.parameters, absorbs)
    return [back for back in found if back is not None]


@pytest.mark.parametrize("case", cases())
def test_no_relevance_passes_none_on(case: RuleCase) -> None:
    """As declared at finite operands; at infinite ones the plan has zeros absorbed."""
    with_denormals = (*FINITE, DENORMAL, -DENORMAL)
    for edges, infinite in ((with_denormals, False), (FINITE + INFINITE, True)):
        for call in edge_calls(case, edges):
            absorbs = infinite or not declared(case, call.arguments)
            for back in passed(call, case, torch.zeros_like(call.out), absorbs):
                assert torch.equal(back, torch.zeros_like(back)), (absorbs, back)


@pytest.mark.parametrize("case", cases())
def test_where_the_result_is_finite_the_slope_is_or_is_taken_for_0(case: RuleCase) -> None:
    if case.form is Form.RELEVANCE:
        return
    for call in edge_calls(case, FINITE):
        sound = call.out.isfinite()
        for back in passed(call, case, torch.where(sound, 1.0, 0.0).to(call.out.dtype), True):
            assert back.isfinite().all(), (call.arguments, back)


def test_only_slopes_that_overflow_are_infinite_at_denormal_operands() -> None:
    found = set()
    for case in (param.values[0] for param in cases()):
        if case.form is Form.RELEVANCE:
            continue
        for call in edge_calls(case, (*FINITE, DENORMAL, -DENORMAL)):
            c = torch.where(call.out.isfinite(), 1.0, 0.0).to(call.out.dtype)
            if not all(back.isfinite().all() for back in passed(call, case, c, True)):
                found.add(case.op.target)
    assert found == OVERFLOWS


FLAT = {
    "sqrt": (torch.sqrt, 0.0),
    "power": (lambda x: x**0.25, 0.0),
    "asin": (torch.asin, 1.0),
    "acos": (torch.acos, -1.0),
    "acosh": (torch.acosh, 1.0),
    "abs": (torch.abs, 0.0),
    "entr": (torch.special.entr, 0.0),
    "xlogy": (lambda x: torch.special.xlogy(x, x), 0.0),
    "hypot": (lambda x: torch.hypot(x, 2 * x), 0.0),
    "norm": (lambda x: torch.linalg.vector_norm(x[..., None].expand(*x.shape, 3), dim=-1), 0.0),
    "norm of order 3": (lambda x: torch.stack([x, x], -1).norm(p=3, dim=-1), 0.0),
    "std": (lambda x: torch.stack([x, 2 * x], -1).std(-1), 0.0),
    "prod": (lambda x: torch.stack([x, 2 * x], -1).prod(-1), 0.0),
}


@pytest.mark.parametrize("name", FLAT)
def test_the_convention_holds_through_an_engine(name: str) -> None:
    """Under the preset `gradient`, where torch gives infinity or NaN, the coefficient is 0."""
    from lrp_engine import Engine

    function, point = FLAT[name]
    x = torch.tensor([[point, 2.0 if name == "acosh" else 0.5]], dtype=torch.float64)
    engine = Engine(lambda x: function(x), x, preset="gradient")
    c = engine.explain(x, lambda out: out.sum()).coefficient["input"]
    wanted = torch.autograd.functional.jacobian(lambda x: function(x).sum(), x)
    assert float(c[0, 0]) == 0.0
    assert float(c[0, 1]) == pytest.approx(float(wanted[0, 1]), rel=1e-12)


def test_distances_of_equal_points() -> None:
    x = torch.ones(3, 2, dtype=torch.float64)
    records = standard().records(aten._cdist_forward.default)
    for record in (r for r in records if isinstance(r, Homogeneous)):  # of order 0 it is a stop
        operands = cases_of(record, standard(), rules=[euler])
        case = max(operands, key=lambda c: len(c.live))
        arguments = {**case.arguments(), "x1": x, "x2": x}
        call = Call(record, arguments, case.live, invoke(record.target, arguments))
        assert all(b.isfinite().all() for b in passed(call, case, torch.ones(3, 3).double(), False))
