"""Pass relevance through the steps of a recurrence, which the graph holds once for all steps.

At a step arrives what its readers outside pass on, and what the step after it does. So what arrives
at all steps, v_t = e_t + B_(t+1)(v_(t+1)), is a recurrence that runs the other way; its step B is
what the rules of the step's own ops do together. They are written at one step, and that is run
along all of them by the op that computed the states. Given v, the rules are written once more, in
the joint graph, at all steps together: as at any other op, with sources and accounts.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol

import torch
from torch import Tensor, fx
from torch.fx.node import Argument

from ..errors import RuleError
from ..graphs.aten import RUN_STEPS, SUM
from ..graphs.loops import Loop
from ..graphs.nodes import describe, is_getitem, part_of, value
from ..graphs.tracing import run_without_data
from ..graphs.walk import upstream
from ..kernels.step_program import write_step
from ..method.call import Form
from ..plan.plan import Assignment
from .flows import Flow, Flows
from .joint_graph import JointGraph

# One state of the recurrence, by number, and the form in which relevance arrives at it.
Channel = tuple[int, Form]

_INSIDE = (
    "the explained value lies within a step of a recurrent layer, of which the graph holds one for"
    " all steps: {}. Explain the layer's output, or a value behind it."
)


class Walker(Protocol):
    """Apply rules in one joint graph."""

    @property
    def flows(self) -> Flows:
        """Return what arrived at each value."""

    def step(self, assignment: Assignment) -> None:
        """Let the rule of one op pass on what arrived there."""


Walk = Callable[[JointGraph], Walker]


def close_loop(
    loop: Loop, joint: JointGraph, flows: Flows, rules: Sequence[Assignment], walk: Walk
) -> None:
    """Pass what arrived at a loop's end to the states after each step.

    Args:
        loop: The recurrence.
        joint: The joint graph.
        flows: What arrived at each of its values.
        rules: The rules of the plan.
        walk: Begins a walk in another joint graph.

    Raises:
        RuleError: Relevance started within the step.
    """
    coming = {
        (i, form): flow
        for i in range(len(loop.after))
        for form, flow in flows.by_form(loop.end, i).items()
    }
    if not coming:
        return
    if any(map(flows.arrived_at, loop.body)):
        raise RuleError(_INSIDE.format(describe(loop.end)))
    body = set(loop.body)
    steps = [a for a in rules if a.node in body]
    handed = _StepWriter(loop, joint, steps, walk).write(_settled(coming, flows))
    for (i, _), flow in [*coming.items(), *handed]:
        flows.add(loop.after[i], flow)


def open_loop(loop: Loop, joint: JointGraph, flows: Flows, closed: bool) -> None:
    """Pass what arrived at the states before the first step to those that were given.

    Args:
        loop: The recurrence.
        joint: The joint graph.
        flows: What arrived at each of its values.
        closed: Whether relevance came in at the loop's end.

    Raises:
        RuleError: It came from within the step.
    """
    for i, initial in enumerate(loop.initial):
        for form, flow in flows.by_form(loop.start, i).items():
            if not closed:
                raise RuleError(_INSIDE.format(describe(loop.end)))
            function = last_step if loop.reverse else first_step
            (first,) = joint.write_function(function, [flow.node], loop.start, flows.traces)
            flows.add(initial, Flow(first, form, flow.scale))


def first_step(x: Tensor) -> Tensor:
    """Return the first entry along the first axis, which stays."""
    return x[:1]


def last_step(x: Tensor) -> Tensor:
    """Return the last entry along the first axis, which stays."""
    return x[-1:]


def _settled(coming: Mapping[Channel, Flow], flows: Flows) -> dict[Channel, fx.Node]:
    return {channel: flows.multiply(f.node, f.scale) for channel, f in coming.items()}


@dataclass
class _StepWriter:
    """Writes what the rules of one step do together, and has it run along the steps."""

    loop: Loop
    joint: JointGraph
    rules: Sequence[Assignment]
    walk: Walk

    def write(self, coming: Mapping[Channel, fx.Node]) -> list[tuple[Channel, Flow]]:
        """Return what the step after each step hands to the states, given what else arrives."""
        channels = list(coming)
        while True:
            step = _OneStep.of(self.loop, self.joint)
            handed = self._pass_back(step, channels)
            more = [channel for channel in handed if channel not in channels]
            if not more:
                return self._run(step, channels, coming, handed)
            channels += more

    def _pass_back(self, step: _OneStep, channels: Sequence[Channel]) -> dict[Channel, fx.Node]:
        """Apply the rules at one step: from the states after it to those before it."""
        walker = self.walk(step.joint)
        for i, form in channels:
            seed = step.joint.seed(f"seed_{i}_{form.value}", step.values[self.loop.after[i]])
            walker.flows.add(self.loop.after[i], Flow(seed, form))
        for assignment in reversed(self.rules):
            walker.step(assignment)
        return {
            (i, form): walker.flows.multiply(flow.node, flow.scale)
            for i in range(len(self.loop.before))
            for form, flow in walker.flows.by_form(self.loop.start, i).items()
        }

    def _run(
        self,
        step: _OneStep,
        channels: Sequence[Channel],
        coming: Mapping[Channel, fx.Node],
        handed: Mapping[Channel, fx.Node],
    ) -> list[tuple[Channel, Flow]]:
        """Write the op that runs the rules of one step along all of them."""
        if not handed:
            return []
        each, fixed = step.leaves(handed.values(), self.joint)
        text = _write_text(step.joint.seeds, channels, coming, handed, [*each], [*fixed])
        zeros = [self._no_relevance(i, node) for (i, _), node in handed.items()]
        given = ([*coming.values(), *each.values()], zeros, [*fixed.values()])
        args: tuple[Argument, ...] = (*given, text, not self.loop.reverse)
        for node in (*each.values(), *fixed.values()):
            self.joint.reads.setdefault(node, []).append(self.loop.end)
        results = run_without_data(RUN_STEPS, args, {})
        run = self.joint.emit(RUN_STEPS, args, {}, results)
        parts = [self.joint.emit(operator.getitem, (run, i), {}, v) for i, v in enumerate(results)]
        return [(ch, Flow(part, ch[1])) for ch, part in zip(handed, parts, strict=True)]

    def _no_relevance(self, state: int, like: fx.Node) -> fx.Node:
        """Write what arrives at the last step from the one after it."""
        before = self.joint.forward(self.loop.before[state])
        function = _zeros_of(value(like).dtype)
        return self.joint.write_function(function, [before], self.loop.end, {})[0]


@dataclass
class _OneStep:
    """A joint graph of one step: every value of the forward pass is an input of it.

    `values` are the fake values of the loop's nodes at one step, `outer` says which value of the
    whole each input is, `each` which of them differ from step to step.
    """

    joint: JointGraph = field(default_factory=JointGraph)
    values: dict[fx.Node, Any] = field(default_factory=dict)
    outer: dict[fx.Node, Callable[[], fx.Node]] = field(default_factory=dict)
    each: set[fx.Node] = field(default_factory=set)

    @classmethod
    def of(cls, loop: Loop, outer: JointGraph) -> _OneStep:
        """Make an input of every value that a step of the loop reads or computes."""
        step = cls()
        ends = {loop.start, loop.end}
        inside = [node for node in loop.start.graph.nodes if node in loop.each - ends]
        entering = (n for node in inside for n in node.all_input_nodes if n not in loop.each)
        given = {*loop.before, *(n for n in loop.each if n in loop.start.all_input_nodes)}
        for node in dict.fromkeys([*entering, *inside]):
            if node in ends:
                continue
            step.values[node] = step._value(node, given, loop)
            step._add(node, outer, node in loop.each)
        step.joint.name_sizes([step.joint.copies[node] for node in loop.before])
        return step

    def leaves(
        self, results: Iterable[fx.Node], outer: JointGraph
    ) -> tuple[dict[fx.Node, fx.Node], dict[fx.Node, fx.Node]]:
        """Return the inputs that results need: those of each step, and those that are fixed."""
        needed = upstream(results)
        found = {node: whole() for node, whole in self.outer.items() if node in needed}
        each = {node: whole for node, whole in found.items() if node in self.each}
        return each, {node: whole for node, whole in found.items() if node not in self.each}

    def _value(self, node: fx.Node, given: set[fx.Node], loop: Loop) -> Any:
        if node not in loop.each:
            return value(node)
        if node in given:
            x = value(node)
            return run_without_data(_ONE_OF, (x, [1, *x.shape[1:]]), {})
        if is_getitem(node):
            producer, index = part_of(node)
            return self.values[producer][index]
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), lambda n: self.values[n])
        return run_without_data(node.target, args, kwargs)

    def _add(self, node: fx.Node, outer: JointGraph, differs: bool) -> None:
        """Add a node's value, in both runs if there are two."""
        if isinstance(value(node), (torch.SymInt, int)):
            return
        self.joint.copies[node] = self._input(
            node, differs, lambda: outer.forward(node), False, outer
        )
        if not outer.references:
            return
        same = outer.references[node] is outer.copies[node]
        self.joint.references[node] = (
            self.joint.copies[node]
            if same
            else self._input(node, differs, lambda: outer.reference(node), True, outer)
        )

    def _input(
        self,
        node: fx.Node,
        differs: bool,
        whole: Callable[[], fx.Node],
        reference: bool,
        outer: JointGraph,
    ) -> fx.Node:
        if is_getitem(node) and part_of(node)[0] in self.values:
            producer, index = part_of(node)
            copies = self.joint.references if reference else self.joint.copies
            own = copies[producer]
            return self.joint.emit(operator.getitem, (own, index), {}, self.values[node])
        made = self.joint.graph.placeholder(f"x{len(self.outer)}")
        made.meta["val"] = self.values[node]
        self._name(made, differs, whole)
        if not isinstance(value(made), Tensor):
            for i, part in enumerate(value(made)):
                one = self.joint.graph.placeholder(f"x{len(self.outer)}")
                one.meta["val"] = part
                self.joint.take_for((operator.getitem, (made, i)), one)
                self._name(one, differs, _part(outer, node, i, reference))
        return made

    def _name(self, made: fx.Node, differs: bool, whole: Callable[[], fx.Node]) -> None:
        self.outer[made] = whole
        if differs:
            self.each.add(made)


def _part(joint: JointGraph, node: fx.Node, i: int, reference: bool) -> Callable[[], fx.Node]:
    return lambda: joint.results_of(node, reference=reference)[i]


_ONE_OF = torch.ops.aten.new_empty.default


@lru_cache
def _zeros_of(dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
    def no_relevance(states: Tensor) -> Tensor:
        return torch.zeros_like(states[:1], dtype=dtype)

    return no_relevance


def _write_text(
    seeds: Sequence[fx.Node],
    channels: Sequence[Channel],
    coming: Mapping[Channel, fx.Node],
    handed: Mapping[Channel, fx.Node],
    each: Sequence[fx.Node],
    fixed: Sequence[fx.Node],
) -> str:
    """Write one step as text: what arrives from outside, what it reads, what is handed to it."""
    graph, copies = fx.Graph(), dict[fx.Node, fx.Node]()
    outside = {c: graph.placeholder("arriving") for c in coming}
    for leaf in each:
        copies[leaf] = graph.placeholder("each")
    states = {c: graph.placeholder("handed") for c in handed}
    for leaf in fixed:
        copies[leaf] = graph.placeholder("fixed")
    for channel, seed in zip(channels, seeds, strict=True):
        terms = [source[channel] for source in (outside, states) if channel in source]
        copies[seed] = graph.call_function(SUM, tuple(terms)) if len(terms) == 2 else terms[0]
    for node in _in_order(handed.values(), copies):
        copies[node] = graph.node_copy(node, copies.__getitem__)
    graph.output(tuple(copies[node] for node in handed.values()))
    return write_step(graph)


def _in_order(results: Iterable[fx.Node], known: Mapping[fx.Node, fx.Node]) -> list[fx.Node]:
    """Return what the results need, each behind its operands: a shared result may stand late."""
    found, stack = dict.fromkeys(known), list(results)
    while stack:
        missing = [n for n in stack[-1].all_input_nodes if n not in found]
        if missing:
            stack += missing
        else:
            found[stack.pop()] = None
    return [node for node in found if node not in known]
