"""No live tensor enters a call unseen: the standing test over every record of the registry.

Every sample is differentiated, by differences, by every floating argument. What a result depends
on is an operand of the record, or the registry does not give that record to a call in which it is
live: the op is taken apart, or refused.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

import lrp_engine as lrp
from lrp_engine.graphs.schema import (
    Arguments,
    Operand,
    declared_arguments,
    invoke,
    names_of,
    operands_of,
    pick,
    substitute,
)
from lrp_engine.method.op import Op, Rounding
from lrp_engine.method.registry import standard
from lrp_engine.testing.rule_case import arguments_of

from .cases import all_records, in_double
from .measuring import jacobian

aten = torch.ops.aten
RECORDS = all_records()


def name(op: Op) -> str:
    return f"{str(op.target).removeprefix('aten.')}-{op.family}"


def tensor_arguments(op: Op) -> list[str]:
    """The arguments that may be tensors, by the op's schema."""
    return [a.name for a in declared_arguments(op.target) if "Tensor" in str(a.type)]


def floating(op: Op, arguments: Arguments) -> tuple[Operand, ...]:
    found = operands_of(tuple(tensor_arguments(op)), arguments)
    return tuple(o for o in found if pick(arguments, o).dtype.is_floating_point)


def total(op: Op, arguments: Arguments, operand: Operand, x: Tensor) -> Tensor:
    """The sum of an op's floating results, as a function of one argument."""
    out = invoke(op.target, substitute(arguments, {operand: x}))
    results = [out] if isinstance(out, Tensor) else list(out)
    return torch.stack([r.double().sum() for r in results[:1]])


def undeclared(op: Op) -> Iterator[tuple[Arguments, Operand]]:
    """Every floating argument of every sample that the record does not call an operand."""
    for place in range(len(op.samples)):
        arguments = arguments_of(op, place)
        for operand in floating(op, arguments):
            if operand.name not in op.operands:
                yield arguments, operand


def served(op: Op, arguments: Arguments, *live: Operand) -> bool:
    return standard().find(op.target, arguments, names_of(live)) is op


def dropped(op: Op) -> list[str]:
    """The arguments that a call depends on and that the record would be given all the same."""
    return [
        str(operand)
        for arguments, operand in undeclared(op)
        if served(op, arguments, operand)
        and jacobian(
            lambda x, a=arguments, o=operand: total(op, a, o, x), pick(arguments, operand)
        ).any()
    ]


@pytest.mark.parametrize("op", RECORDS, ids=name)
def test_no_record_serves_a_call_that_depends_on_an_undeclared_live_tensor(op: Op) -> None:
    assert not dropped(op)


@pytest.mark.parametrize("op", RECORDS, ids=name)
def test_arguments_that_no_sample_gives_are_declared_or_refused(op: Op) -> None:
    """`Tensor?` arguments that are None in all samples, and tensors of another dtype."""
    silent = set(tensor_arguments(op)) - {*op.operands, *op.templates}
    for place in range(len(op.samples)):
        arguments = arguments_of(op, place)
        for argument in silent:
            assert not served(op, arguments, Operand(argument)), argument
            assert not served(op, arguments, Operand(argument, 0)), argument


@pytest.mark.parametrize("op", [o for o in RECORDS if o.templates], ids=name)
def test_no_entry_of_a_template_counts(op: Op) -> None:
    for place in range(len(op.samples)):
        arguments = arguments_of(op, place)
        for operand in operands_of(op.templates, arguments):
            if "empty" in str(op.target):
                continue  # its values are whatever lay there
            other = substitute(arguments, {operand: pick(arguments, operand) + 1})
            first, second = invoke(op.target, arguments), invoke(op.target, other)
            assert torch.equal(first, second)


@pytest.mark.parametrize("target", dict.fromkeys(op.target for op in RECORDS), ids=str)
def test_every_declared_operand_is_given_by_a_sample(target: object) -> None:
    records = [op for op in RECORDS if op.target is target]
    given = {
        operand.name
        for op in records
        for place in range(len(op.samples))
        for operand in floating(op, arguments_of(op, place))
    }
    assert {n for op in records for n in op.operands} <= given


class Calls(nn.Module):
    """Every call of `undeclared` that is not by a template; its undeclared arguments come in."""

    def __init__(self, calls: list[tuple[Op, Arguments, Operand]]) -> None:
        super().__init__()
        self.calls = calls

    def forward(self, *inputs: Tensor) -> Tensor:
        each = [total(*call, x) for call, x in zip(self.calls, inputs, strict=True)]
        return torch.cat(each).sum(0, keepdim=True)


# Refused with a live grid: torch does not say what the op is made of.
WITHOUT_PARTS = {torch.ops.aten.grid_sampler_3d.default}


def calls_to_explain() -> list[tuple[Op, Arguments, Operand]]:
    found: dict[tuple[object, Operand], tuple[Op, Arguments, Operand]] = {}
    for op in filter(in_double, RECORDS):
        if op.target in WITHOUT_PARTS:
            continue
        for arguments, operand in undeclared(op):
            explained = operand.name not in op.templates and not isinstance(op, Rounding)
            if explained and has_slope(op, arguments, operand):
                found.setdefault((op.target, operand), (op, arguments, operand))
    return list(found.values())


def has_slope(op: Op, arguments: Arguments, operand: Operand) -> bool:
    """False where torch has no derivative either: the engine then refuses the call, too."""
    x = pick(arguments, operand).detach().requires_grad_()
    try:
        torch.autograd.grad(total(op, arguments, operand, x).sum(), x, allow_unused=True)
    except NotImplementedError:
        return False
    except RuntimeError:  # the result has no slope at all
        pass
    return True


@pytest.mark.parametrize("part", range(2))
def test_by_undeclared_arguments_the_gradient_is_that_of_the_model(part: int) -> None:
    """Through the whole engine, which takes these calls apart or has another record for them."""
    calls = calls_to_explain()[part::2]
    inputs = tuple(pick(arguments, operand) for _, arguments, operand in calls)
    engine = lrp.Engine(Calls(calls).eval(), inputs, preset="gradient", dynamic=False)
    found = engine.explain(inputs, lambda out: out.sum()).coefficient
    for i, ((op, arguments, operand), x) in enumerate(zip(calls, inputs, strict=True)):
        slope = jacobian(lambda v, a=arguments, o=operand, p=op: total(p, a, o, v), x)
        c = found.get(f"inputs_{i}", torch.zeros_like(x))  # it may only switch
        error = (c - slope.view(x.shape)).abs().max()
        assert error <= 1e-9 * max(1.0, float(slope.abs().max())), f"{name(op)}: {operand}"
