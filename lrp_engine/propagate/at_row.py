"""Start relevance at one row of the output.

A target at one position leaves every other row without relevance. Until an op mixes rows
(attention), relevance is passed on for that row alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor, fx
from torch._ops import OpOverload
from torch.fx.node import Argument

from ..graphs.aten import SIZE
from ..graphs.nodes import VALUE_OF, value
from ..graphs.schema import bind, pick
from ..graphs.tracing import run_without_data
from ..method.call import Form
from ..plan.plan import Assignment, Plan
from ..plan.rowwise import find_row_only_nodes, find_row_operands
from .call_site import CallSite
from .flows import Flow, Flows
from .propagator import Propagator


def row_of(x: Tensor, rows: Tensor) -> Tensor:
    """Return one row per sample.

    Args:
        x: Values (batch, positions, ...).
        rows: The position of each sample's row (batch,), int64.

    Returns:
        The rows (batch, 1, ...).

    >>> row_of(torch.tensor([[[1.0], [2.0]], [[3.0], [4.0]]]), torch.tensor([1, 0])).flatten()
    tensor([2., 3.])
    """
    index = rows.reshape(-1, *[1] * (x.dim() - 1)).expand(-1, 1, *x.shape[2:])
    return torch.gather(x, 1, index)


def spread(row: Tensor, rows: Tensor, positions: int) -> Tensor:
    """Apply the adjoint of `row_of`: put rows into zeros.

    Args:
        row: One row per sample (batch, 1, ...).
        rows: The position of each sample's row (batch,), int64.
        positions: How many positions the result has.

    Returns:
        Zeros (batch, positions, ...) with the rows in their places.
    """
    index = rows.reshape(-1, *[1] * (row.dim() - 1)).expand(-1, 1, *row.shape[2:])
    return row.new_zeros(row.shape[0], positions, *row.shape[2:]).scatter(1, index, row)


def can_start_at_row(plan: Plan) -> bool:
    """Return whether each row (batch, position) of the output is computed from one row."""
    last = plan.assignments[-1] if plan.assignments else None
    if last is None or last.node is not plan.output.node or value(last.node).dim() != 3:
        return False
    return _ServedOps(plan).can_serve(last)


def start_at_row(propagator: Propagator) -> Sequence[Argument]:
    """Seed one row per sample of the output; the programs take their positions with the seed."""
    seed = propagator.joint.seed("seed", _one_row(propagator.plan))
    rows = propagator.joint.seed("rows", _indices(propagator.plan))
    _serve(propagator, seed, RowValues(propagator, rows, frozenset()))
    return propagator.model_outputs()


def start_at_only_row(propagator: Propagator) -> Sequence[Argument]:
    """Seed one row per sample; the forward program takes their positions, computes no others."""
    plan = propagator.plan
    seed = propagator.joint.seed("seed", _one_row(plan))
    rows = propagator.joint.graph.placeholder("rows")
    rows.meta["val"] = _indices(plan)
    alone = find_row_only_nodes(plan.captured.graph, plan.output.node, plan.registry)
    at = RowValues(propagator, rows, alone)
    _serve(propagator, seed, at)
    return [at.value(plan.output.node)]


@dataclass
class RowValues:
    """Values of the forward pass at one row per sample.

    Nodes in `alone` are computed at the rows only, all others are gathered from their whole value.
    Those of a reference run are always gathered.
    """

    propagator: Propagator
    rows: fx.Node
    alone: frozenset[fx.Node]
    _known: dict[fx.Node, fx.Node] = field(default_factory=dict)

    def value(self, node: fx.Node) -> fx.Node:
        """Return the joint graph's node for a captured node, at the rows."""
        if node not in self._known:
            make = self._compute if node in self.alone else self._gather
            self._known[node] = make(node)
        return self._known[node]

    def reference(self, node: fx.Node) -> fx.Node:
        """Return the joint graph's node for the reference run's value, at the rows."""
        joint = self.propagator.joint
        own, other = joint.forward(node), joint.reference(node)
        if other is own:
            return self.value(node)
        return self.propagator.write(row_of, node, other, self.rows)

    def spread(self, row: fx.Node, node: fx.Node) -> fx.Node:
        """Write rows into zeros of the shape of a captured node."""
        positions = value(node).shape[1]
        if isinstance(positions, torch.SymInt):
            size = (self.propagator.joint.forward(node), 1)
            positions = self.propagator.joint.emit(SIZE, size, {}, positions)
        return self.propagator.write(spread, node, row, self.rows, positions)

    def _gather(self, node: fx.Node) -> fx.Node:
        return self.propagator.write(row_of, node, self.propagator.joint.forward(node), self.rows)

    def _compute(self, node: fx.Node) -> fx.Node:
        if VALUE_OF in node.meta:
            return self.value(node.meta[VALUE_OF])
        joint = self.propagator.joint
        needed = find_row_operands(node, self.propagator.plan.registry) or ()

        def operand(n: fx.Node) -> fx.Node:
            return self.value(n) if n in needed else joint.forward(n)

        args, kwargs = fx.node.map_arg((node.args, node.kwargs), operand)
        op = node.target
        assert isinstance(op, OpOverload)
        return joint.emit(op, args, kwargs, run_without_data(op, args, kwargs))


@dataclass
class _ServedOps:
    """The ops of a plan whose rules have been applied at rows."""

    plan: Plan
    nodes: set[fx.Node] = field(default_factory=set)

    @cached_property
    def readers(self) -> dict[fx.Node, list[fx.Node]]:
        """The ops that pass relevance on to each value."""
        found: dict[fx.Node, list[fx.Node]] = defaultdict(list)
        for a in self.plan.assignments:
            for node in _operands(a):
                found[node].append(a.node)
        return found

    @cached_property
    def sources(self) -> set[fx.Node]:
        return {source.node for source in self.plan.sources}

    def can_serve(self, a: Assignment) -> bool:
        """Return whether all readers of an op's result were served at rows, and it acts on rows."""
        coefficients = Form.RELEVANCE not in (a.rule.takes, a.rule.gives)
        return (
            coefficients
            and a.node not in self.sources
            and self.nodes.issuperset(self.readers.get(a.node, ()))
            and find_row_operands(a.node, self.plan.registry) is not None
        )


def _serve(propagator: Propagator, seed: fx.Node, at: RowValues) -> None:
    """Pass relevance on at rows as far as ops allow it, and spread what is left."""
    served = _ServedOps(propagator.plan)
    flows = Flows(propagator.joint, propagator.traces.functions)
    output = propagator.plan.output.node
    flows.add(output, Flow(seed, Form.COEFFICIENT))
    waiting = {output: None}
    for a in reversed(propagator.plan.assignments):
        if a.node in waiting and served.can_serve(a):
            del waiting[a.node]
            served.nodes.add(a.node)
            waiting |= dict.fromkeys(_step(propagator, a, flows, at))
    for node in waiting:
        (row,), scale, form = flows.collect(node, Form.COEFFICIENT)
        assert row is not None
        propagator.flows.add(node, Flow(at.spread(row, node), form, scale))


def _step(propagator: Propagator, a: Assignment, flows: Flows, at: RowValues) -> list[fx.Node]:
    """Serve one op at rows; return the operands at which relevance now waits in rows."""
    needed = find_row_operands(a.node, propagator.plan.registry) or frozenset()
    arrived = flows.collect(a.node, Form.COEFFICIENT)
    if not a.rule.linear:
        arrived = flows.settle(arrived)

    def forward(n: fx.Node) -> fx.Node:
        return at.value(n) if n in needed else propagator.joint.forward(n)

    def reference(n: fx.Node) -> fx.Node:
        return at.reference(n) if n in needed else propagator.joint.reference(n)

    site = CallSite.of(a, arrived, forward, [at.value(a.node)])
    if propagator.joint.references:
        site = site.with_reference(a, reference, [at.reference(a.node)])
    # A result that the rule computed again is not shared: the forward pass has it for all rows.
    passed, _ = propagator.apply(a, site, arrived.scale)
    reached = []
    for operand, flow in zip(_operands(a), passed, strict=True):
        if flow is not None:
            (flows if operand in needed else propagator.flows).add(operand, flow)
            reached += [operand] if operand in needed else []
    return reached


def _operands(a: Assignment) -> list[fx.Node]:
    arguments = bind(a.node.target, a.node.args, a.node.kwargs)
    return [pick(arguments, operand) for operand in a.live]


def _one_row(plan: Plan) -> Tensor:
    example: Tensor = value(plan.output.node)
    return example.new_empty((example.shape[0], 1, example.shape[2]))


def _indices(plan: Plan) -> Tensor:
    # Zeros and not empty: a recorded capture's example values are computed for real.
    example: Tensor = value(plan.output.node)
    return example.new_zeros((example.shape[0],), dtype=torch.int64)
