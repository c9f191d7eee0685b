"""Write the ledger's sums into the joint graph: what each op received, passed on and absorbed."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
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
from ..method.call import Form
from ..plan.plan import Assignment, Plan
from .amounts import AmountWriter
from .call_site import CallSite
from .flows import Conversion
from .joint_graph import JointGraph
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
    """Write the sums of one op: received and passed, their sums of |R|, one amount per cause."""
    a, flows = step.assignment, propagation.flows
    site = _site_of(step, propagation)
    passed = [flows.multiply(f.node, f.scale) for f in step.passed if f is not None]
    writer = AmountWriter(propagation.joint, a.node, traces.functions)
    coming = iter(site.arguments)
    front = [
        (next(coming), outs)
        for outs, there in zip(site.results_by_run(), site.arrived, strict=True)
        if there
    ]
    there = [v for v, f in zip(site.operands_by_run(), step.passed, strict=True) if f is not None]
    received, size_received = writer.write(front, site.form)
    back = list(zip(passed, there, strict=True))
    if back:
        passed_on, size_passed = writer.write(back, a.rule.form_given(site.form))
    else:
        passed_on = size_passed = writer.write_zero(received)
    causes, amounts = _write_causes(step, site, passed, propagation.joint, traces)
    nodes = [received, passed_on, size_received, size_passed, *amounts]
    rest = a.rule.absorbs if isinstance(a.rule.absorbs, str) else None
    return AccountEntry(a.node, a.rule_text(), causes, len(nodes), rest), nodes


def _site_of(step: RuleStep, propagation: Propagation) -> CallSite:
    a, joint = step.assignment, propagation.joint
    arrived = propagation.flows.settle(step.arrived)
    site = CallSite.of(a, arrived, joint.forward, joint.results_of(a.node))
    if not joint.references:
        return site
    return site.with_reference(a, joint.reference, joint.results_of(a.node, reference=True))


def _write_causes(
    step: RuleStep,
    site: CallSite,
    passed: Sequence[fx.Node],
    joint: JointGraph,
    traces: TraceCache,
) -> tuple[tuple[str, ...], list[fx.Node]]:
    """Write what the rule says that it absorbs: the causes and their amounts."""
    if not callable(step.assignment.rule.absorbs):
        return (), []
    template, causes = _trace_causes(step, site, [value(n) for n in passed], traces)
    written = joint.write(template, [*site.arguments, *passed], step.assignment.node)
    return causes, [n for n in written if n is not None]


def _trace_causes(
    step: RuleStep, site: CallSite, passed: Sequence[Tensor], traces: TraceCache
) -> AccountTrace:
    """Trace what one op absorbs, or take an equal trace; `passed` are fake values."""
    a = step.assignment
    there = tuple(flow is not None for flow in step.passed)
    key = _causes_key(a, site, there, [*site.examples, *passed])
    if key in traces.accounts:
        return traces.accounts[key]
    causes: list[str] = []
    assert callable(a.rule.absorbs)
    absorbs = a.rule.absorbs

    def run(*given: Any) -> list[Tensor]:
        call, arrived = site.call(a, given[: len(site.examples)])
        back = iter(given[len(site.examples) :])
        coefficients = tuple(
            next(back) if t else torch.zeros_like(call.operand(operand))
            for t, operand in zip(there, call.live, strict=True)
        )
        amounts = absorbs(call, arrived, coefficients, **a.parameters)
        causes[:] = list(amounts)
        return list(amounts.values())

    template = trace(run, [*site.examples, *passed])
    traces.accounts[key] = AccountTrace(template, tuple(causes))
    return traces.accounts[key]


def _causes_key(
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
    relevance, c = (propagation.flows.multiply(f.node, f.scale) for f in (before, after))
    writer = AmountWriter(joint, node, traces.functions)
    activation = (joint.forward(node),)
    received, coming = writer.write([(relevance, activation)], Form.RELEVANCE)
    passed, going = writer.write([(c, activation)], Form.COEFFICIENT)
    nodes = [received, passed, coming, going, writer.subtract(received, passed)]
    return AccountEntry(_producer(node), "relevance to coefficient", (LOST,), len(nodes)), nodes


def _producer(node: fx.Node) -> fx.Node:
    return part_of(node)[0] if is_getitem(node) else node
