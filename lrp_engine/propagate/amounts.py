"""Write sums of relevance into the joint graph: one pair of scalars for any number of flows."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, fx

from ..graphs.aten import DIFFERENCE, SUM, ZEROS_LIKE
from ..graphs.nodes import value
from ..graphs.precision import change
from ..graphs.tracing import Template
from ..method.call import Form
from ..method.relevance import relevance_of, sum_in_double, widen
from .joint_graph import JointGraph

# A flow, and what its coefficient belongs to: the value in this run, and in the reference run.
FlowAt = tuple[fx.Node, tuple[fx.Node, ...]]


@dataclass(frozen=True)
class AmountWriter:
    """Writes sums on behalf of one op; flows of equal shapes share a trace."""

    joint: JointGraph
    asks: fx.Node
    traces: dict[Hashable, Template]

    def write(self, flows: Sequence[FlowAt], form: Form) -> tuple[fx.Node, fx.Node]:
        """Write the sums of R and of |R| over all flows, one at least: float64 scalars."""
        if form is Form.RELEVANCE:
            pairs = [self._write(_sums_of_relevance, flow) for flow, _ in flows]
        else:
            pairs = [self._write(_sums_of_coefficient, c, *at) for c, at in flows]
        first, *rest = pairs
        total, size = first
        for more, more_size in rest:
            total, size = self._combine(SUM, total, more), self._combine(SUM, size, more_size)
        return total, size

    def write_zero(self, like: fx.Node) -> fx.Node:
        """Write a sum over no flow."""
        return self.joint.emit(ZEROS_LIKE, (like,), {}, value(like))

    def subtract(self, total: fx.Node, part: fx.Node) -> fx.Node:
        """Write the difference of two sums."""
        return self._combine(DIFFERENCE, total, part)

    def _combine(self, op: torch._ops.OpOverload, one: fx.Node, other: fx.Node) -> fx.Node:
        return self.joint.emit(op, (one, other), {}, value(one))

    def _write(self, function: Callable[..., list[Tensor]], *arguments: fx.Node) -> list[fx.Node]:
        return self.joint.write_function(function, arguments, self.asks, self.traces)


def _sums_of_coefficient(c: Tensor, *values: Tensor) -> list[Tensor]:
    """Return the sums of R = c * a and |R|; with two runs, a is the change between them."""
    relevance = relevance_of(c, values[0] if len(values) == 1 else change(*values))
    return [sum_in_double(relevance), sum_in_double(relevance.abs())]


def _sums_of_relevance(relevance: Tensor) -> list[Tensor]:
    wide = widen(relevance)
    return [sum_in_double(wide), sum_in_double(wide.abs())]
