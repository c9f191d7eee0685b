"""Collect what arrives at each value, in either form, and convert between the forms.

Rules are linear in what arrives, so a constant factor (the halves of a uniform split) need not
be multiplied out where it arises: it travels beside the tensor and is multiplied in, for free,
where flows are added. It is multiplied out before it grows or shrinks beyond `_REACH`: one half per
step of a long recurrence would soon be a number that no tensor holds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable
from typing import NamedTuple

from torch import Tensor, fx

from ..graphs.aten import (
    JOIN,
    PRODUCT,
    SUM,
    SUM_OF_PRODUCT,
    find_factors,
    find_joined_slices,
)
from ..graphs.nodes import is_getitem, part_of, value
from ..graphs.tracing import Template
from ..method.call import Form
from ..method.relevance import to_coefficient, to_relevance
from .joint_graph import JointGraph

_REACH = 2.0**7  # the ratio of two such factors, at most 2**14, is a number even in half precision


def travels(factor: float) -> bool:
    """Return whether a factor may travel beside its tensor: neither it nor a ratio overflows."""
    return 1 / _REACH <= factor <= _REACH


class Flow(NamedTuple):
    """A flow of coefficients or relevance: scale * node."""

    node: fx.Node
    form: Form
    scale: float = 1.0


class Arrived(NamedTuple):
    """The flows that arrived at each result of one op: scale * node, None where nothing did."""

    nodes: tuple[fx.Node | None, ...]
    scale: float
    form: Form


class Conversion(NamedTuple):
    """Relevance at a value that became a coefficient; `before - after` was lost on the way."""

    node: fx.Node
    before: Flow
    after: Flow


class Flows:
    """The flows into each value; those of several users add up."""

    def __init__(self, joint: JointGraph, traces: dict[Hashable, Template]) -> None:
        self._joint = joint
        self.traces = traces
        self._arrived: dict[tuple[fx.Node, int], list[Flow]] = defaultdict(list)
        self.conversions: list[Conversion] = []

    def add(self, node: fx.Node, flow: Flow) -> None:
        """Add relevance at a value; at one result of several, also at its producer."""
        self._arrived[node, 0].append(flow)
        if is_getitem(node):
            producer, index = part_of(node)
            self._arrived[producer, index + 1].append(flow)

    def collect(self, node: fx.Node, form: Form) -> Arrived:
        """Return everything that arrived at each of a node's results, in the wanted form.

        If either form will do, it is relevance if any of it is: that conversion loses nothing.
        """
        if form is Form.EITHER:
            form = Form.RELEVANCE if self.holds_relevance(node) else Form.COEFFICIENT
        if isinstance(value(node), Tensor):
            flows = [self._total((node, 0), node, form)]
        else:
            parts = {part_of(u)[1]: u for u in node.users if is_getitem(u)}
            flows = [
                self._total((node, i + 1), parts[i], form) if i in parts else None
                for i in range(len(value(node)))
            ]
        scale = next((f.scale for f in flows if f is not None), 1.0)
        nodes = (f and self.multiply(f.node, f.scale / scale) for f in flows)
        return Arrived(tuple(nodes), scale, form)

    def by_form(self, node: fx.Node, index: int) -> dict[Form, Flow]:
        """Return what arrived at one of several results, added up in each form by itself."""
        found: dict[Form, Flow] = {}
        for flow in self._arrived.get((node, index + 1), ()):
            known = found.get(flow.form)
            found[flow.form] = flow if known is None else self._sum(known, flow)
        return found

    def arrived_at(self, node: fx.Node) -> bool:
        """Return whether anything arrived at a node."""
        return (node, 0) in self._arrived

    def at(self, node: fx.Node, form: Form) -> fx.Node | None:
        """Return everything that arrived at a tensor, written out; None if nothing did."""
        (flow,), scale, _ = self.collect(node, form)
        return None if flow is None else self.multiply(flow, scale)

    def settle(self, arrived: Arrived) -> Arrived:
        """Return the same with its constant factor multiplied out."""
        nodes = (node and self.multiply(node, arrived.scale) for node in arrived.nodes)
        return Arrived(tuple(nodes), 1.0, arrived.form)

    def convert(self, flow: Flow, node: fx.Node, form: Form) -> Flow:
        """Return the flow in the other form; reading the activation makes a promise."""
        if flow.form is form:
            return flow
        conversion = to_coefficient if form is Form.COEFFICIENT else to_relevance
        written = self._write(conversion, node, flow.node, self._joint.forward(node))
        converted = Flow(written, form, flow.scale)
        if form is Form.COEFFICIENT:
            self.conversions.append(Conversion(node, flow, converted))
        return converted

    def holds_relevance(self, node: fx.Node) -> bool:
        """Return whether anything that arrived at a node is relevance itself, not a coefficient."""
        results = 1 if isinstance(value(node), Tensor) else 1 + len(value(node))
        flows = (flow for i in range(results) for flow in self._arrived.get((node, i), ()))
        return any(flow.form is Form.RELEVANCE for flow in flows)

    def scaled(self, node: fx.Node, form: Form, scale: float) -> Flow:
        """Return the flow scale * node, the factor multiplied out if it must not travel."""
        if travels(scale):
            return Flow(node, form, scale)
        return Flow(self.multiply(node, scale), form)

    def multiply(self, flow: fx.Node, scale: float) -> fx.Node:
        """Write scale * flow."""
        if scale == 1.0:
            return flow
        return self._joint.emit(PRODUCT, (flow, scale), {}, value(flow))

    def _total(self, key: tuple[fx.Node, int], node: fx.Node, form: Form) -> Flow | None:
        flows = self._arrived.get(key)
        if not flows:
            return None
        forms = {flow.form for flow in flows}
        common = form if len(forms) > 1 else forms.pop()
        total = None
        for flow in flows:
            same = self.convert(flow, node, common)
            total = same if total is None else self._sum(total, same)
        assert total is not None
        # The total is kept, so that asking twice writes nothing twice.
        self._arrived[key] = [total]
        return self.convert(total, node, form)

    def _sum(self, a: Flow, b: Flow) -> Flow:
        """Add two flows in one pass; a product about to be added is never written by itself."""
        scale = b.scale / a.scale
        total = value(a.node)
        joined = find_joined_slices(a.node, b.node) if scale == 1.0 else None
        if joined:
            parts, axis = joined
            return Flow(self._joint.emit(JOIN, (list(parts), axis), {}, total), a.form, a.scale)
        product = find_factors(b.node)
        if product and all(value(p).dtype == total.dtype for p in product):
            node = self._joint.emit(SUM_OF_PRODUCT, (a.node, *product), {"value": scale}, total)
        else:
            node = self._joint.emit(SUM, (a.node, b.node), _unless_one("alpha", scale), total)
        return Flow(node, a.form, a.scale)

    def _write(self, function: Callable[..., Tensor], asks: fx.Node, *nodes: fx.Node) -> fx.Node:
        return self._joint.write_function(function, nodes, asks, self.traces)[0]


def _unless_one(name: str, scale: float) -> dict[str, float]:
    return {} if scale == 1.0 else {name: scale}
