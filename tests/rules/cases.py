"""Every op x sample x set of live operands x rule, as calls that a rule can be run on."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from torch import Tensor

from lrp_engine.call import Call, Operand, bind, invoke, operands_of
from lrp_engine.op import Inert, Normalisation, Op
from lrp_engine.registry import Registry, standard
from lrp_engine.rule import Form, Rule, booked

# Beside a rule's own defaults: parameters that make it do something one can see.
PARAMETERS = {("weighted_sum", "epsilon"): ({"epsilon": 0.3},)}


@dataclass(frozen=True)
class Case:
    """One rule on one call: which sample, and which operands carry relevance."""

    op: Op
    rule: Rule
    sample: int
    live: tuple[Operand, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        name = str(self.op.target).removeprefix("aten.")
        live = "+".join(map(str, self.live))
        extra = "".join(f"-{k}={v}" for k, v in self.parameters.items())
        return f"{name}-{self.op.family}.{self.rule.name}-{self.sample}-{live}{extra}"

    def arguments(self) -> dict[str, Any]:
        """The sample's arguments by name."""
        return arguments_of(self.op, self.sample)


def arguments_of(op: Op, place: int) -> dict[str, Any]:
    """The arguments of one of an op's samples, drawn."""
    args, kwargs = op.samples[place].make(seed=place)
    return bind(op.target, args, kwargs)


def subsets(operands: tuple[Operand, ...]) -> Iterator[tuple[Operand, ...]]:
    """Every non-empty choice of operands."""
    for size in range(1, len(operands) + 1):
        yield from itertools.combinations(operands, size)


def live_sets(op: Op, arguments: dict[str, Any], registry: Registry) -> list[tuple[Operand, ...]]:
    """The choices of live operands for which the registry takes this very record."""
    found = [
        o
        for o in operands_of(op.operands, arguments)
        if Call(op, arguments, (), None).operand(o).dtype.is_floating_point
    ]
    return [
        live
        for live in subsets(tuple(found))
        if registry.find(op.target, arguments, frozenset(o.name for o in live)) is op
    ]


def cases_of(op: Op, registry: Registry) -> Iterator[Case]:
    """Every case of one record."""
    rules = [r for (family, _), r in registry.rules.items() if family == op.family and not r.stops]
    for rule, place in itertools.product(rules, range(len(op.samples))):
        seen = set()
        for entering in live_sets(op, arguments_of(op, place), registry):
            live = tuple(o for o in entering if o.name in rule.operands(op))
            if live and live not in seen:
                seen.add(live)
                for more in ({}, *PARAMETERS.get((op.family, rule.name), ())):
                    yield Case(op, rule, place, live, dict(rule.parameters) | more)


@cache
def all_cases() -> tuple[Case, ...]:
    """Every case of the standard registry."""
    records = [op for op in all_records() if not isinstance(op, Inert) and in_double(op)]
    return tuple(case for op in records for case in cases_of(op, standard()))


def in_double(op: Op) -> bool:
    """Whether the samples are in double precision, which the slow definitions need.

    The few ops that know no double have tests of their own (`test_grouped.py`).
    """
    found = operands_of(op.operands, arguments_of(op, 0))
    tensors = [Call(op, arguments_of(op, 0), (), None).operand(o) for o in found]
    return all(t.dtype != torch.bfloat16 for t in tensors)


def all_records() -> list[Op]:
    """Every op record; those of other libraries once these are loaded."""
    import transformers.integrations.moe  # noqa: F401 - registers its grouped matrix product

    registry = standard()
    targets = [named(t) if isinstance(t, str) else t for t in registry.ops]
    return [op for target in targets for op in registry.records(target)]


def named(name: str) -> Any:
    """The op of a name, `library.op.overload`."""
    library, op, overload = name.split(".")
    return getattr(getattr(getattr(torch.ops, library), op), overload)


def coefficient_like(out: Any, generator: torch.Generator) -> Any:
    """A coefficient for each floating result: multiples of 1/64, exact in any precision."""
    if not isinstance(out, Tensor):
        return tuple(coefficient_like(o, generator) for o in out)
    if not out.dtype.is_floating_point or out.numel() == 0:
        return None
    drawn = torch.randint(-64, 65, out.shape, generator=generator)
    return (drawn / 64).to(out.dtype)


def call_of(case: Case) -> tuple[Call, Any]:
    """The call that the case's rule sees, and the coefficient that arrives."""
    arguments = case.arguments()
    out = invoke(case.op.target, arguments)
    out = tuple(out) if isinstance(out, list) else out
    c = coefficient_like(out, torch.Generator().manual_seed(17))
    if isinstance(case.op, Normalisation) and isinstance(c, tuple):
        c = (c[0], *(None for _ in c[1:]))  # statistics are constants: nothing arrives there
    return Call(case.op, arguments, case.live, out), c


def pairs(out: Any, c: Any) -> list[tuple[Tensor, Tensor]]:
    """(result, coefficient) for every result that relevance arrives at."""
    outs, seeds = ((out,), (c,)) if isinstance(out, Tensor) else (out, c)
    return [(o, k) for o, k in zip(outs, seeds, strict=True) if k is not None]


def apply(case: Case) -> tuple[Call, Any, tuple[Tensor | None, ...]]:
    """Runs the rule on its call: the call, what arrived, what was passed on."""
    call, c = call_of(case)
    arrived = _in_form(c, call.out, case.rule.takes)
    with torch.no_grad():
        passed = tuple(case.rule.propagate(call, arrived, **case.parameters))
    return call, arrived, passed


def relevance_of(case: Case) -> dict[Operand, Tensor]:
    """What the rule gives to each live operand, as relevance."""
    call, _, passed = apply(case)
    gives = case.rule.gives is Form.RELEVANCE
    return {
        o: torch.zeros_like(x) if k is None else (k if gives else k * x)
        for o, k, x in zip(case.live, passed, map(call.operand, case.live), strict=True)
    }


def balance(case: Case) -> tuple[float, float, dict[str, float], float]:
    """(received, passed, absorbed by cause, size), as the ledger counts them."""
    call, arrived, passed = apply(case)
    rule = case.rule
    flows = pairs(call.out, arrived)
    received = [_book(k, o, rule.takes) for o, k in flows]
    back = [(k, call.operand(o)) for k, o in zip(passed, case.live, strict=True) if k is not None]
    handed = [_book(k, x, rule.gives) for k, x in back]
    sizes = [_book(k.abs(), o.abs(), rule.takes) for o, k in flows]
    sizes_back = [_book(k.abs(), x.abs(), rule.gives) for k, x in back]
    absorbed: dict[str, float] = {}
    if isinstance(rule.absorbs, str):
        absorbed = {rule.absorbs: sum(received) - sum(handed)}
    elif rule.absorbs is not None:
        amounts = rule.absorbs(call, arrived, passed, **case.parameters)
        absorbed = {cause: float(amount) for cause, amount in amounts.items()}
    return sum(received), sum(handed), absorbed, max(sum(sizes), sum(sizes_back))


def _in_form(c: Any, out: Any, form: Form) -> Any:
    if form is Form.COEFFICIENT or c is None:
        return c
    return c * out if isinstance(out, Tensor) else tuple(map(_in_form, c, out, [form] * len(out)))


def _book(flow: Tensor, activation: Tensor, form: Form) -> float:
    one = torch.ones_like(activation)
    return float(booked(flow, activation if form is Form.COEFFICIENT else one))
