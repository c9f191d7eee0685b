"""Every op of the registry as a call in two runs that differ in its live operands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

import torch
from torch import Tensor

from lrp_engine.graphs.precision import change
from lrp_engine.graphs.schema import Operand, bind, invoke, pick, substitute
from lrp_engine.method.call import Call, Coefficients
from lrp_engine.method.op import Inert, Normalisation, Op
from lrp_engine.method.registry import standard
from lrp_engine.method.relevance import sum_relevance
from lrp_engine.method.rule import Rule
from lrp_engine.testing.rule_case import Arrived, arguments_of, coefficient_like, live_sets, pairs
from tests.rules.cases import all_records, in_double


@dataclass(frozen=True)
class TwoRunCase:
    """One sample of an op with its rule of two runs and a choice of live operands."""

    op: Op
    rule: Rule
    sample: int
    live: tuple[Operand, ...]

    def __str__(self) -> str:
        name = str(self.op.target).removeprefix("aten.")
        return f"{name}-{self.sample}-{'+'.join(map(str, self.live))}"

    def call(self) -> Call[Op]:
        """Return the call with its reference; both runs are the sample's, of different draws."""
        drawn = [self._arguments(seed) for seed in (self.sample, self.sample + 100)]
        other = {o: pick(drawn[1], o) for o in self.live}
        return two_runs(self.op, self.live, drawn[0], substitute(drawn[0], other))

    def _arguments(self, seed: int) -> dict[str, object]:
        args, kwargs = self.op.samples[self.sample].make(seed=seed)
        return bind(self.op.target, args, kwargs)


def two_runs(op: Op, live: tuple[Operand, ...], b: dict, a: dict) -> Call[Op]:
    """Return a call with arguments b, its reference with arguments a."""
    base = Call(op, a, live, _results(op, a))
    return Call(op, b, live, _results(op, b), reference=base)


def swapped(call: Call[Op]) -> Call[Op]:
    """Return the call with the runs exchanged."""
    return replace(call.base, reference=replace(call, reference=None))


def _results(op: Op, arguments: dict) -> object:
    out = invoke(op.target, arguments)
    return tuple(out) if isinstance(out, list) else out


def arriving(call: Call[Op]) -> Arrived:
    """Return the coefficient that arrives at the call's results."""
    c = coefficient_like(call.out, torch.Generator().manual_seed(17))
    if isinstance(call.op, Normalisation) and isinstance(c, tuple):
        return (c[0], *(None for _ in c[1:]))
    return c


def passed_on(case: TwoRunCase, call: Call[Op]) -> Coefficients:
    """Return what the rule passes on."""
    with torch.no_grad():
        return tuple(case.rule.propagate(call, arriving(call)))


def came(call: Call[Op]) -> float:
    """Return the sum of c (f(b) - f(a))."""
    flows = pairs(call.out, arriving(call))
    bases = pairs(call.base.out, arriving(call))
    return sum(
        float(sum_relevance(c, change(b, a))) for (b, c), (a, _) in zip(flows, bases, strict=True)
    )


def left(call: Call[Op], passed: Coefficients) -> float:
    """Return the sum of m (b - a) over the live operands."""
    return sum(
        float(sum_relevance(k, change(call.operand(o), call.base.operand(o))))
        for k, o in zip(passed, call.live, strict=True)
        if k is not None
    )


@cache
def all_cases() -> tuple[TwoRunCase, ...]:
    """Every record with every choice of live operands."""
    return tuple(_all())


def _all() -> Iterator[TwoRunCase]:
    registry = standard()
    for op in all_records():
        rule = registry.rules.get((op.family, "delta"))
        if isinstance(op, Inert) or rule is None or not in_double(op):
            continue
        for sample in range(len(op.samples)):
            for live in live_sets(op, arguments_of(op, sample), registry):
                yield TwoRunCase(op, rule, sample, live)


def close(a: Tensor, b: Tensor, tolerance: float) -> bool:
    """Whether tensors agree up to a share of their largest entry."""
    size = max(float(a.abs().max()), float(b.abs().max()), 1.0) if a.numel() else 1.0
    return bool(torch.allclose(a, b, rtol=0, atol=tolerance * size))
