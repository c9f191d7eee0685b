"""Run a rule on one sample call and add up what it received, passed on and absorbed."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ..graphs.schema import (
    Arguments,
    Operand,
    bind,
    invoke,
    names_of,
    operands_of,
)
from ..method.call import Call, Coefficients, Form
from ..method.op import Normalisation, Op
from ..method.registry import Registry
from ..method.relevance import sum_relevance, to_relevance
from ..method.rule import Rule
from ..preset.preset import plain_value


@dataclass(frozen=True)
class RuleCase:
    """One rule on one call of a sample, with the operands that carry relevance."""

    op: Op
    rule: Rule
    sample: int
    live: tuple[Operand, ...]
    parameters: Mapping[str, object] = field(default_factory=dict)
    form: Form = Form.COEFFICIENT

    def __str__(self) -> str:
        name = str(self.op.target).removeprefix("aten.")
        live = "+".join(map(str, self.live))
        extra = "".join(f"-{k}={plain_value(v)}" for k, v in self.parameters.items())
        form = "-R" if self.form is Form.RELEVANCE else ""
        return f"{name}-{self.op.family}.{self.rule.name}-{self.sample}-{live}{extra}{form}"

    def with_form(self, form: Form) -> RuleCase:
        """Return the same case for a flow of another form."""
        return replace(self, form=form)

    def arguments(self) -> Arguments:
        """Draw the sample's arguments, by name."""
        return arguments_of(self.op, self.sample)


def arguments_of(op: Op, place: int) -> Arguments:
    """Draw the arguments of one of an op's samples."""
    args, kwargs = op.samples[place].make(seed=place)
    return bind(op.target, args, kwargs)


def subsets(operands: tuple[Operand, ...]) -> Iterator[tuple[Operand, ...]]:
    """Yield every non-empty choice of operands."""
    for size in range(1, len(operands) + 1):
        yield from itertools.combinations(operands, size)


def live_sets(op: Op, arguments: Arguments, registry: Registry) -> list[tuple[Operand, ...]]:
    """Return the choices of live operands for which the registry takes this very record."""
    found = [
        o
        for o in operands_of(op.operands, arguments)
        if Call(op, arguments, (), None).operand(o).dtype.is_floating_point
    ]
    return [
        live
        for live in subsets(tuple(found))
        if registry.find(op.target, arguments, names_of(live)) is op
    ]


Settings = Callable[[Rule], Sequence[Mapping[str, object]]]


def defaults(rule: Rule) -> list[dict[str, object]]:
    """Return a rule's own parameters, if all have defaults."""
    missing = inspect.Parameter.empty in rule.parameters.values()
    return [] if missing else [dict(rule.parameters)]


def rules_for(op: Op, registry: Registry) -> list[Rule]:
    """Return the rules of one run that can serve a record and pass something on."""
    return [
        r
        for (family, _), r in registry.rules.items()
        if family == op.family
        and not r.stops
        and r.runs == 1
        and (r.serves is None or r.serves(op))
    ]


def cases_of(
    op: Op,
    registry: Registry,
    settings: Settings = defaults,
    rules: Sequence[Rule] | None = None,
) -> Iterator[RuleCase]:
    """Yield every case of one record: rules x samples x live operands x parameters x forms."""
    served = rules_for(op, registry) if rules is None else rules
    for rule, place in itertools.product(served, range(len(op.samples))):
        seen = set()
        for entering in live_sets(op, arguments_of(op, place), registry):
            live = tuple(o for o in entering if o.name in rule.operands(op))
            if live and live not in seen:
                seen.add(live)
                for parameters, form in itertools.product(settings(rule), forms(rule, op, live)):
                    yield RuleCase(op, rule, place, live, parameters, form)


def forms(rule: Rule, op: Op, live: Sequence[Operand]) -> tuple[Form, ...]:
    """Return the forms in which relevance may arrive at a rule for a call of an op."""
    taken = rule.form_taken(op, live)
    return (Form.COEFFICIENT, Form.RELEVANCE) if taken is Form.EITHER else (taken,)


Result = Tensor | tuple[Tensor, ...]
Arrived = Tensor | tuple[Tensor | None, ...] | None


def coefficient_like(out: Result, generator: torch.Generator) -> Arrived:
    """Draw a coefficient for each floating result: multiples of 1/64, exact in any precision."""
    if not isinstance(out, Tensor):
        return tuple(_coefficient(o, generator) for o in out)
    return _coefficient(out, generator)


def _coefficient(out: Tensor, generator: torch.Generator) -> Tensor | None:
    if not out.dtype.is_floating_point or out.numel() == 0:
        return None
    drawn = torch.randint(-64, 65, out.shape, generator=generator)
    return (drawn / 64).to(out.dtype)


def call_of(case: RuleCase) -> tuple[Call[Op], Arrived]:
    """Return the call that the case's rule sees, and the coefficient that arrives."""
    arguments = case.arguments()
    out = invoke(case.op.target, arguments)
    out = tuple(out) if isinstance(out, list) else out
    c = coefficient_like(out, torch.Generator().manual_seed(17))
    if isinstance(case.op, Normalisation) and isinstance(c, tuple):
        c = (c[0], *(None for _ in c[1:]))  # statistics are constants: nothing arrives there
    return Call(case.op, arguments, case.live, out, form=case.form), c


def pairs(out: Result, c: Arrived) -> list[tuple[Tensor, Tensor]]:
    """Return (result, coefficient) for every result that relevance arrives at."""
    outs = (out,) if isinstance(out, Tensor) else out
    seeds = c if isinstance(c, tuple) else (c,)
    return [(o, k) for o, k in zip(outs, seeds, strict=True) if k is not None]


def apply(case: RuleCase) -> tuple[Call[Op], Arrived, Coefficients]:
    """Run the rule on its call; return the call, what arrived and what was passed on."""
    call, c = call_of(case)
    arrived = _in_form(c, call.out, case.form)
    return call, arrived, run_rule(case, call, arrived)


def run_rule(case: RuleCase, call: Call[Op], arrived: Arrived) -> Coefficients:
    """Return what the rule passes on when `arrived` arrives at the call."""
    with torch.no_grad():
        return tuple(case.rule.propagate(call, arrived, **case.parameters))


def relevance_of(case: RuleCase) -> dict[Operand, Tensor]:
    """Return what the rule gives to each live operand, as relevance."""
    call, _, passed = apply(case)
    gives = case.rule.form_given(case.form) is Form.RELEVANCE
    return {
        o: torch.zeros_like(x) if k is None else (k if gives else to_relevance(k, x))
        for o, k, x in zip(case.live, passed, map(call.operand, case.live), strict=True)
    }


def balance(case: RuleCase) -> tuple[float, float, dict[str, float], float]:
    """Return (received, passed, absorbed by cause, size), as the ledger counts them."""
    call, arrived, passed = apply(case)
    rule = case.rule
    takes, gives = case.form, rule.form_given(case.form)
    flows = pairs(call.out, arrived)
    received = [_book(k, o, takes) for o, k in flows]
    back = [(k, call.operand(o)) for k, o in zip(passed, case.live, strict=True) if k is not None]
    handed = [_book(k, x, gives) for k, x in back]
    sizes = [_book(k.abs(), o.abs(), takes) for o, k in flows]
    sizes_back = [_book(k.abs(), x.abs(), gives) for k, x in back]
    absorbed: dict[str, float] = {}
    if isinstance(rule.absorbs, str):
        absorbed = {rule.absorbs: sum(received) - sum(handed)}
    elif rule.absorbs is not None:
        amounts = rule.absorbs(call, arrived, passed, **case.parameters)
        absorbed = {cause: float(amount) for cause, amount in amounts.items()}
    return sum(received), sum(handed), absorbed, max(sum(sizes), sum(sizes_back))


def _in_form(c: Arrived, out: Result, form: Form) -> Arrived:
    if form is Form.COEFFICIENT or c is None:
        return c
    if isinstance(c, Tensor):
        return c * out
    return tuple(None if k is None else k * o for k, o in zip(c, out, strict=True))


def _book(flow: Tensor, activation: Tensor, form: Form) -> float:
    one = torch.ones_like(activation)
    return float(sum_relevance(flow, activation if form is Form.COEFFICIENT else one))
