"""Walk a plan backward and let each rule write into the joint graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial

from torch import Tensor, fx
from torch.fx.node import Argument

from ..errors import LrpError, RuleError
from ..graphs.loops import Loop, find_loops, is_loop_end
from ..graphs.nodes import describe, is_getitem, part_of, value
from ..graphs.schema import bind, pick
from ..graphs.walk import upstream
from ..method.call import Form
from ..plan.plan import Assignment, Plan
from .call_site import CallSite
from .flows import (
    Arrived,
    Conversion,
    Flow,
    Flows,
)
from .joint_graph import JointGraph
from .loops import close_loop, open_loop
from .trace_cache import TraceCache


@dataclass(frozen=True)
class RuleStep:
    """One application of a rule: what arrived at its op, what it passed to each live operand."""

    assignment: Assignment
    arrived: Arrived
    passed: tuple[Flow | None, ...]


@dataclass(frozen=True)
class Propagation:
    """The joint graph with what arrived at every source, and the steps on the way.

    `outputs` are what the forward program returns.
    """

    joint: JointGraph
    outputs: tuple[Argument, ...]
    flows: Flows
    steps: tuple[RuleStep, ...]
    conversions: tuple[Conversion, ...]


@dataclass
class Propagator:
    """The state of a walk: each step lets one rule write into the joint graph."""

    plan: Plan
    joint: JointGraph
    traces: TraceCache
    flows: Flows = field(init=False)
    steps: list[RuleStep] = field(default_factory=list)
    _closed: set[Loop] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.flows = Flows(self.joint, self.traces.functions)

    @cached_property
    def loops(self) -> Mapping[fx.Node, Loop]:
        """The recurrences of the graph by their starts and ends."""
        found = find_loops(self.plan.captured.graph)
        return {end: loop for loop in found for end in (loop.start, loop.end)}

    def step(self, assignment: Assignment) -> None:
        """Let the rule of one op pass on what arrived there, if anything did.

        Raises:
            RuleError: The rule failed. The message names the op, its shapes and its place.
        """
        node, rule = assignment.node, assignment.rule
        if is_loop_end(node):
            self._hand_on(self.loops[node], node)
            return
        arrived = self.flows.collect(node, rule.form_taken(assignment.op, assignment.live))
        if all(c is None for c in arrived.nodes):
            return
        try:
            if not rule.linear:
                arrived = self.flows.settle(arrived)
            site = CallSite.of(assignment, arrived, self.joint.forward, self.joint.results_of(node))
            if self.plan.preset.runs == 2:
                others = self.joint.results_of(node, reference=True)
                site = site.with_reference(assignment, self.joint.reference, others)
            passed, again = self.apply(assignment, site, arrived.scale)
        except LrpError:
            raise
        except Exception as error:
            raise RuleError(
                f"rule {rule.name!r} of family {rule.family!r} failed on {describe(node)}:"
                f" {type(error).__name__}: {error}"
            ) from error
        arguments = bind(node.target, node.args, node.kwargs)
        for operand, flow in zip(assignment.live, passed, strict=True):
            if flow is not None:
                self.flows.add(pick(arguments, operand), flow)
        self.steps.append(RuleStep(assignment, arrived, tuple(passed)))
        if again:
            self._share(self.joint.copies[node], again)

    def _hand_on(self, loop: Loop, node: fx.Node) -> None:
        """Pass relevance on at the start or the end of a recurrence's step."""
        if node is loop.start:
            open_loop(loop, self.joint, self.flows, loop in self._closed)
            return
        self._closed.add(loop)
        walk = partial(Propagator, self.plan, traces=self.traces)
        rules = self.plan.assignments
        close_loop(loop, self.joint, self.flows, rules, lambda joint: walk(joint=joint))

    def model_outputs(self) -> list[Argument]:
        """Return the leaves that the model returns, then those of the reference run if any."""
        leaves = self.plan.captured.graph.output_node().args[0]
        assert isinstance(leaves, Sequence)
        runs = [self.joint.forward, self.joint.reference][: self.plan.preset.runs]
        return [run(n) if isinstance(n, fx.Node) else n for run in runs for n in leaves]

    def apply(
        self, a: Assignment, site: CallSite, scale: float
    ) -> tuple[list[Flow | None], list[fx.Node | None]]:
        """Trace the rule (or take an equal trace), and write it into the joint graph.

        Returns:
            What it passes on to each live operand, and the op's own result if the rule had to
            compute it again.
        """
        key = (a.rule, a.op, tuple(sorted(a.parameters.items())), a.absorbs_zeros, site.key())
        if key not in self.traces.rules:
            self.traces.rules[key] = site.trace(a)
        traced = self.traces.rules[key]
        results = self.joint.write(traced.template, site.arguments, a.node)
        passed = [
            None
            if back is None
            else self.flows.scaled(back, a.rule.form_given(site.form), scale * factor)
            for back, factor in zip(results, traced.factors, strict=False)
        ]
        return passed, results[len(traced.factors) :]

    def write(
        self, function: Callable[..., Tensor], asks: fx.Node, *arguments: Argument
    ) -> fx.Node:
        """Write a plain function of values, on behalf of the op `asks`."""
        return self.joint.write_function(function, arguments, asks, self.traces.functions)[0]

    def _share(self, forward: fx.Node, primal: Sequence[fx.Node | None]) -> None:
        """Let the forward pass use the result that the rule had to compute again.

        Not where it reads a size off the forward pass's own result: it would depend on itself.
        """
        one = isinstance(value(forward), Tensor)
        parts = {user: part_of(user)[1] for user in forward.users if is_getitem(user)}
        for node, index in ({forward: 0} if one else parts).items():
            again = primal[index]
            if again is not None and node not in upstream([again]):
                self.joint.replace(node, again)


# Seeds the output, and returns what the forward program returns.
Start = Callable[[Propagator], Sequence[Argument]]


def start_at_output(propagator: Propagator) -> Sequence[Argument]:
    """Seed the whole output; the forward program returns what the model returns."""
    output = propagator.plan.output.node
    seed = propagator.joint.seed("seed", value(output))
    propagator.flows.add(output, Flow(seed, Form.COEFFICIENT))
    return propagator.model_outputs()


def propagate(
    plan: Plan,
    traces: TraceCache | None = None,
    start: Start = start_at_output,
    joint: JointGraph | None = None,
) -> Propagation:
    """Walk the plan backward from the explained output to the sources.

    Args:
        plan: The rule of every live op.
        traces: Traces to take from and to add to; sharing them between calls saves set-up time.
        start: Seeds the output and returns what the forward program returns. It may also apply the
            rules of the ops before the output; `step` then finds nothing left to pass on there.
        joint: Where to write; another plan of the same graph may have written there before.
            Default: a new one.
    """
    joint = joint or JointGraph.of(plan.captured, plan.preset.runs)
    propagator = Propagator(plan, joint, traces or TraceCache())
    outputs = start(propagator)
    for assignment in reversed(plan.assignments):
        propagator.step(assignment)
    conversions = tuple(propagator.flows.conversions)
    return Propagation(
        propagator.joint, tuple(outputs), propagator.flows, tuple(propagator.steps), conversions
    )
