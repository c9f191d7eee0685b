"""What the records say about their ops, held against the ops themselves."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lrp_engine.graphs.schema import (
    Operand,
    invoke,
    operands_of,
    pick,
    substitute,
)
from lrp_engine.method.op import (
    AtZero,
    Inert,
    Op,
    Stop,
)
from lrp_engine.method.registry import standard
from lrp_engine.testing.rule_case import arguments_of, live_sets

from .cases import all_cases, all_records
from .references import jacobian

RECORDS = all_records()
RANDOM = "random draws do not explain anything"


def name(op: Op) -> str:
    return f"{str(op.target).removeprefix('aten.')}-{op.family}"


def operands(op: Op, place: int = 0) -> tuple[Operand, ...]:
    return operands_of(op.operands, arguments_of(op, place))


def at(op: Op, place: int, new: dict[Operand, Tensor]) -> Tensor:
    """The op with some operands of a sample exchanged."""
    return invoke(op.target, substitute(arguments_of(op, place), new))


@pytest.mark.parametrize("op", RECORDS, ids=name)
def test_every_record_has_a_sample_that_it_serves(op: Op) -> None:
    served = [live_sets(op, arguments_of(op, i), standard()) for i in range(len(op.samples))]
    assert any(served)


def test_every_rule_that_passes_relevance_is_run() -> None:
    run = {(case.op.family, case.rule.name) for case in all_cases()}
    rules = standard().rules.items()
    assert run == {key for key, rule in rules if not rule.stops and rule.runs == 1}


@pytest.mark.parametrize("op", [o for o in RECORDS if o.at_zero is not AtZero.OTHER], ids=name)
def test_at_zero_as_declared(op: Op) -> None:
    for place in range(len(op.samples)):
        everything = operands(op, place)
        if op.at_zero is AtZero.SUM:
            choices = [everything]  # zero only if nothing is added
        else:
            choices = [(o,) for o in everything if o.name != getattr(op, "denominator", None)]
        for chosen in choices:
            arguments = arguments_of(op, place)
            if op.at_zero is AtZero.SUM and isinstance(arguments.get("other"), float):
                continue
            zeros = {o: torch.zeros_like(pick(arguments, o)) for o in chosen}
            assert not at(op, place, zeros).any()


@pytest.mark.parametrize("op", [o for o in RECORDS if o.elementwise], ids=name)
def test_elementwise_as_declared(op: Op) -> None:
    for place in range(len(op.samples)):
        arguments = arguments_of(op, place)
        for operand in operands(op, place):
            x = pick(arguments, operand)
            if x.shape != at(op, place, {}).shape:
                continue
            matrix = jacobian(lambda v, o=operand, i=place: at(op, i, {o: v}).reshape(-1), x)
            assert not (matrix - matrix.diagonal().diag()).any()


@pytest.mark.parametrize("op", [o for o in RECORDS if isinstance(o, Stop)], ids=name)
def test_a_stop_has_no_derivative(op: Op) -> None:
    if op.reason == RANDOM:
        torch.manual_seed(0)
        first = at(op, 0, {})
        assert not torch.equal(first, at(op, 0, {}))
        return
    if "empty" in str(op.target):
        return  # its values are whatever lay there
    for operand in operands(op):
        x = pick(arguments_of(op, 0), operand)
        assert not jacobian(lambda v, o=operand: at(op, 0, {o: v}).reshape(-1), x).any()


@pytest.mark.parametrize("op", [o for o in RECORDS if isinstance(o, Inert)], ids=name)
def test_an_inert_op_gives_its_operand(op: Op) -> None:
    (operand,) = operands(op)
    result = at(op, 0, {})
    first = result if isinstance(result, Tensor) else result[0]
    assert torch.equal(first, pick(arguments_of(op, 0), operand))
