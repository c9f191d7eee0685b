"""Write the ledger's sums into the joint graph: what each op received, passed on and absorbed."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from ..graphs.nodes import (
    is_getitem,
    origin,
    part_of,
    target_name,
    value,
)
from ..graphs.tracing import signature, trace
from ..method.call import Call, Form
from ..method.op import Op
from ..method.relevance import relevance_of, sum_in_double, widen
from ..plan.plan import Assignment, Plan
from .call_site import Arriving, CallSite
from .flows import Conversion
from .ledger import Account, floor_for
from .propagator import Propagation, RuleStep
from .trace_cache import AccountTrace, TraceCache

LOST = "zero activation"


@dataclass(frozen=True)
class AccountEntry:
    """The results of the relevance program that make up one op's account: the next `count`.

    `rest` is the cause under which all that is not passed on is booked, if the rule names one.
    """

    node: fx.Node
    rule: str
    causes: tuple[str, ...]
    count: int
    rest: str | None = None


def write_accounts(
    propagation: Propagation, traces: TraceCache
) -> tuple[tuple[AccountEntry, ...], list[fx.Node]]:
    """Write the sums of every step.

    Returns:
        One entry per account, and the nodes that hold their sums in the same order: float64
        scalars in the unit of the explained number.
    """
    entries, sums = [], []
    for step in propagation.steps:
        at_op = [c for c in propagation.conversions if _producer(c.node) is step.assignment.node]
        accounts = [_conversion(c, propagation, traces) for c in at_op]
        for entry, nodes in [*accounts, _account(step, propagation, traces)]:
            entries.append(entry)
            sums += nodes
    return tuple(entries), sums


def read_accounts(
    entries: Sequence[AccountEntry], numbers: Sequence[float], plan: Plan
) -> list[Account]:
    """Return the accounts, from the output to the sources, given the sums of a program."""
    rest, accounts, other = iter(numbers), [], plan.influence.causes
    floor = floor_for(plan.coarsest_dtype())
    for entry in entries:
        received, passed, coming, going, *absorbed = (next(rest) for _ in range(entry.count))
        causes = entry.causes or ((entry.rest,) if entry.rest else ())
        if entry.node in other:
            # The other side is no constant: it depends on an input.
            causes = tuple(other[entry.node] if c == "constant" else c for c in causes)
        amounts = absorbed if entry.causes else [received - passed] * len(causes)
        accounts.append(
            Account(
                node=entry.node.name,
                op=target_name(entry.node),
                rule=entry.rule,
                place=str(origin(entry.node)),
                received=received,
                passed=passed,
                absorbed=dict(zip(causes, amounts, strict=True)),
                size_received=coming,
                size_passed=going,
                floor=floor,
            )
        )
    return accounts


def _account(
    step: RuleStep, propagation: Propagation, traces: TraceCache
) -> tuple[AccountEntry, list[fx.Node]]:
    """Write the sums of one op; equal ops share the trace."""
    a, joint, flows = step.assignment, propagation.joint, propagation.flows
    arrived = flows.settle(step.arrived)
    site = CallSite.of(a, arrived, joint.forward, joint.results_of(a.node))
    if joint.references:
        others = joint.results_of(a.node, reference=True)
        site = site.with_reference(a, joint.reference, others)
    passed = [flows.multiply(f.node, f.scale) for f in step.passed if f is not None]
    template, causes = _trace_sums(step, site, [value(n) for n in passed], traces)
    written = joint.write(template, [*site.arguments, *passed], a.node)
    nodes = [n for n in written if n is not None]
    rest = a.rule.absorbs if isinstance(a.rule.absorbs, str) else None
    return AccountEntry(a.node, a.rule_text(), causes, len(nodes), rest), nodes


def _trace_sums(
    step: RuleStep, site: CallSite, passed: Sequence[Tensor], traces: TraceCache
) -> AccountTrace:
    """Trace the sums of one op, or take an equal trace; `passed` are fake values."""
    a = step.assignment
    there = tuple(flow is not None for flow in step.passed)
    key = _sums_key(a, site, there, [*site.examples, *passed])
    if key in traces.accounts:
        return traces.accounts[key]
    causes: list[str] = []

    def run(*given: Any) -> list[Tensor]:
        call, arrived = site.call(a, given[: len(site.examples)])
        back = iter(given[len(site.examples) :])
        coefficients = tuple(
            next(back) if t else torch.zeros_like(call.operand(operand))
            for t, operand in zip(there, call.live, strict=True)
        )
        return _sums(a, call, arrived, coefficients, causes)

    template = trace(run, [*site.examples, *passed])
    traces.accounts[key] = AccountTrace(template, tuple(causes))
    return traces.accounts[key]


def _sums_key(
    a: Assignment, site: CallSite, there: tuple[bool, ...], examples: Sequence[object]
) -> Hashable:
    parameters = tuple(sorted(a.parameters.items()))
    return (a.rule, a.op, parameters, site.key(), there, tuple(signature(e) for e in examples))


def _conversion(
    conversion: Conversion, propagation: Propagation, traces: TraceCache
) -> tuple[AccountEntry, list[fx.Node]]:
    """Account for relevance that no coefficient can carry, at activations that are nearly zero."""
    joint = propagation.joint
    node, before, after = conversion
    flows = [propagation.flows.multiply(flow.node, flow.scale) for flow in (before, after)]
    arguments = [*flows, joint.forward(node)]
    nodes = joint.write_function(_lost, arguments, node, traces.functions)
    return AccountEntry(_producer(node), "relevance to coefficient", (LOST,), len(nodes)), nodes


def _lost(relevance: Tensor, c: Tensor, a: Tensor) -> list[Tensor]:
    """Return received and passed, their sums of |R|, and what is lost."""
    received, coming = _amounts([(relevance, a)], Form.RELEVANCE)
    passed, going = _amounts([(c, a)], Form.COEFFICIENT)
    return [received, passed, coming, going, received - passed]


def _producer(node: fx.Node) -> fx.Node:
    return part_of(node)[0] if is_getitem(node) else node


def _sums(
    a: Assignment, call: Call[Op], arrived: Arriving, passed: tuple[Tensor, ...], causes: list[str]
) -> list[Tensor]:
    """Return received and passed, their sums of |R|, then one amount per cause.

    Fills in `causes`, in the same order.
    """
    outs = call.amounts_out()
    coming = arrived if isinstance(arrived, tuple) else (arrived,)
    front = [(c, o) for c, o in zip(coming, outs, strict=True) if c is not None]
    back = [(c, call.amount(o)) for c, o in zip(passed, call.live, strict=True)]
    received, size_received = _amounts(front, call.form)
    passed_on, size_passed = _amounts(back, a.rule.form_given(call.form))
    amounts: Mapping[str, Tensor] = {}
    if callable(a.rule.absorbs):
        amounts = a.rule.absorbs(call, arrived, passed, **a.parameters)
    causes[:] = list(amounts)
    return [received, passed_on, size_received, size_passed, *amounts.values()]


def _amounts(pairs: Sequence[tuple[Tensor, Tensor]], form: Form) -> tuple[Tensor, Tensor]:
    """Return the sums of R and of |R| over all flows; R is computed once for both."""
    if form is Form.RELEVANCE:
        found = [widen(relevance) for relevance, _ in pairs]
    else:
        found = [relevance_of(c, activation) for c, activation in pairs]
    return _summed(found), _summed([relevance.abs() for relevance in found])


def _summed(parts: Sequence[Tensor]) -> Tensor:
    first, *rest = map(sum_in_double, parts)
    return sum(rest, first)
