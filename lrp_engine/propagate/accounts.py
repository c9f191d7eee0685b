"""Writes the ledger's sums into the joint graph: for each op what it received, passed, absorbed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from ..graphs.nodes import (
    is_floating,
    is_getitem,
    origin,
    part_of,
    target_name,
    value,
)
from ..graphs.tracing import signature, trace
from ..method.call import Call, Form
from ..method.relevance import relevance_of, total
from ..plan.plan import Assignment, Plan
from .call_site import CallSite
from .flows import Conversion
from .ledger import Account
from .propagator import Propagation, RuleStep
from .trace_cache import AccountTrace, TraceCache

LOST = "zero activation"


@dataclass(frozen=True)
class AccountEntry:
    """Which results of the relevance program make up one op's account.

    `rest` is the cause under which all that is not passed on is booked, if the rule says so.
    """

    node: fx.Node
    rule: str
    causes: tuple[str, ...]
    count: int
    rest: str | None = None


def write_accounts(
    propagation: Propagation, traces: TraceCache
) -> tuple[tuple[AccountEntry, ...], list[fx.Node]]:
    """One entry per op and, in the same order, the nodes that hold its sums (float64 scalars)."""
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
    """Numbers computed by the program -> accounts, from the output to the sources."""
    rest, accounts, dead = iter(numbers), [], find_stopped_values(plan)
    for entry in entries:
        received, passed, coming, going, *absorbed = (next(rest) for _ in range(entry.count))
        causes = entry.causes or ((entry.rest,) if entry.rest else ())
        if dead.intersection(entry.node.all_input_nodes):
            # The constant side depends on a source: a path on which relevance was stopped.
            causes = tuple("stopped" if c == "constant" else c for c in causes)
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
            )
        )
    return accounts


def find_stopped_values(plan: Plan) -> set[fx.Node]:
    """Values that depend on a source's values and yet carry no relevance."""
    dependent = {source.node for source in plan.sources}
    carrying = {a.node for a in plan.assignments} | dependent
    dead: set[fx.Node] = set()
    for node in plan.captured.graph.nodes:
        # Sizes depend on a source's shape, which explains nothing.
        if dependent.isdisjoint(node.all_input_nodes) or not is_floating(node):
            continue
        dependent.add(node)
        if node not in carrying and not (is_getitem(node) and node.args[0] in carrying):
            dead.add(node)
    return dead


def _account(
    step: RuleStep, propagation: Propagation, traces: TraceCache
) -> tuple[AccountEntry, list[fx.Node]]:
    """Traces the sums of one op; equal ops share the trace."""
    a, joint = step.assignment, propagation.joint
    site = CallSite.of(
        a, propagation.flows.settle(step.arrived), joint.forward, joint.results_of(a.node)
    )
    flows = [flow for flow in step.passed if flow is not None]
    passed = [propagation.flows.multiply(flow.node, flow.scale) for flow in flows]
    there = tuple(node is not None for node in step.passed)
    examples = [*site.examples, *(value(n) for n in passed)]
    shapes = tuple(signature(e) for e in examples)
    key = ("accounts", a.rule, a.op, tuple(sorted(a.parameters.items())), site.key(), there, shapes)
    if key not in traces.accounts:
        causes: list[str] = []

        def run(*given: Any) -> list[Tensor]:
            call, arrived = site.call(a, given[: len(site.examples)])
            back = iter(given[len(site.examples) :])
            coefficients = tuple(
                next(back) if t else torch.zeros_like(call.operand(operand))
                for t, operand in zip(there, call.live, strict=True)
            )
            return _sums(a, call, arrived, coefficients, causes)

        traces.accounts[key] = AccountTrace(trace(run, examples), tuple(causes))
    template, found = traces.accounts[key]
    nodes = joint.write(template, [*site.arguments, *passed], a.node)
    rest = a.rule.absorbs if isinstance(a.rule.absorbs, str) else None
    return AccountEntry(a.node, a.rule_text(), found, len(nodes), rest), nodes


def _conversion(
    conversion: Conversion, propagation: Propagation, traces: TraceCache
) -> tuple[AccountEntry, list[fx.Node]]:
    """Relevance that no coefficient can carry, because the activation is zero or nearly so."""
    joint = propagation.joint
    node, before, after = conversion
    flows = [propagation.flows.multiply(flow.node, flow.scale) for flow in (before, after)]
    arguments = [*flows, joint.forward(node)]
    examples = [value(argument) for argument in arguments]
    key = (_lost, *(signature(e) for e in examples))
    if key not in traces.functions:
        traces.functions[key] = trace(_lost, examples)
    nodes = joint.write(traces.functions[key], arguments, node)
    return AccountEntry(_producer(node), "relevance to coefficient", (LOST,), len(nodes)), nodes


def _lost(relevance: Tensor, c: Tensor, a: Tensor) -> list[Tensor]:
    """received, passed, their sums of |R|, and what is lost."""
    received, coming = _amounts([(relevance, a)], Form.RELEVANCE)
    passed, going = _amounts([(c, a)], Form.COEFFICIENT)
    return [received, passed, coming, going, received - passed]


def _producer(node: fx.Node) -> fx.Node:
    return part_of(node)[0] if is_getitem(node) else node


def _sums(
    a: Assignment, call: Call[Any], arrived: Any, passed: tuple[Tensor, ...], causes: list[str]
) -> list[Tensor]:
    """received, passed, their sums of |R|, then one amount per cause."""
    outs = call.out if isinstance(call.out, tuple) else (call.out,)
    coming = arrived if isinstance(call.out, tuple) else (arrived,)
    front = [(c, o) for c, o in zip(coming, outs, strict=True) if c is not None]
    back = [(c, call.operand(o)) for c, o in zip(passed, call.live, strict=True)]
    received, size_received = _amounts(front, call.form)
    passed_on, size_passed = _amounts(back, a.rule.form_given(call.form))
    amounts: Mapping[str, Tensor] = {}
    if callable(a.rule.absorbs):
        amounts = a.rule.absorbs(call, arrived, passed, **a.parameters)
    causes[:] = list(amounts)
    return [received, passed_on, size_received, size_passed, *amounts.values()]


def _amounts(pairs: Sequence[tuple[Tensor, Tensor]], form: Form) -> tuple[Tensor, Tensor]:
    """(sum of R, sum of |R|) over all flows, R being computed once for both."""
    if form is Form.RELEVANCE:
        found = [R.to(torch.promote_types(R.dtype, torch.float32)) for R, _ in pairs]
    else:
        found = [relevance_of(c, activation) for c, activation in pairs]
    return _summed(found), _summed([relevance.abs() for relevance in found])


def _summed(parts: Sequence[Tensor]) -> Tensor:
    first, *rest = map(total, parts)
    return sum(rest, first)
