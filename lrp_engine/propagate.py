"""Plan -> joint graph: the one generic loop that walks backward and lets the rules write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, fx
from torch.utils import _pytree as pytree

from .aten import without_factor
from .call import Call, Operand, bind, pick
from .errors import LrpError, RuleError
from .graph import after, describe, value
from .joint import Joint
from .plan import Assignment, Plan
from .rule import Form
from .template import Template, is_getitem, part_of, pruned, signature, trace, upstream
from .wires import Arrived, Conversion, Flow, Wires

Cache = dict[Any, Any]


@dataclass(frozen=True)
class Passed:
    """What one rule did: what arrived at its op, and what it passed on to each live operand."""

    assignment: Assignment
    arrived: Arrived
    passed: tuple[Flow | None, ...]


@dataclass(frozen=True)
class Propagation:
    """The joint graph with the coefficient (or relevance) at every source and what passed where.

    `outputs` are what the forward program returns.
    """

    joint: Joint
    outputs: tuple[Any, ...]
    wires: Wires
    steps: tuple[Passed, ...]
    conversions: tuple[Conversion, ...]


@dataclass(frozen=True)
class Traced:
    """A rule's trace: one result per live operand, each to be multiplied by its factor, then the
    op's own result if the rule had to compute it again."""

    template: Template
    factors: tuple[float, ...]


@dataclass
class Loop:
    plan: Plan
    joint: Joint
    cache: Cache
    wires: Wires = field(init=False)
    steps: list[Passed] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.wires = Wires(self.joint, self.cache)

    def step(self, assignment: Assignment) -> None:
        node, rule = assignment.node, assignment.rule
        arrived = self.wires.collect(node, rule.takes)
        if all(c is None for c in arrived.nodes):
            return
        try:
            if not rule.linear:
                arrived = self.wires.settled(arrived)
            site = Site.of(assignment, arrived, self.joint.forward, self.joint.results_of(node))
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
                self.wires.add(pick(arguments, operand), flow)
        self.steps.append(Passed(assignment, arrived, tuple(passed)))
        if again:
            self._share(self.joint.copies[node], again)

    def model_outputs(self) -> list[Any]:
        """The leaves that the model returns, in the joint graph."""
        leaves: Any = self.plan.captured.graph.output_node().args[0]
        return [self.joint.forward(n) if isinstance(n, fx.Node) else n for n in leaves]

    def apply(
        self, a: Assignment, site: Site, scale: float
    ) -> tuple[list[Flow | None], list[fx.Node]]:
        """Traces the rule (or takes an equal trace), and writes it into the joint graph.

        Gives what it passes on, and the op's own result if the rule had to compute it again.
        """
        key = (a.rule, a.op, tuple(sorted(a.parameters.items())), site.key())
        if key not in self.cache:
            self.cache[key] = site.trace(a)
        traced: Traced = self.cache[key]
        results = self.joint.write(traced.template, site.arguments, a.node)
        flows = [
            None if back is None else Flow(back, a.rule.form_given(site.form), scale * factor)
            for back, factor in zip(results, traced.factors, strict=False)
        ]
        return flows, results[len(traced.factors) :]

    def write(self, function: Callable[..., Tensor], asks: fx.Node, *arguments: Any) -> fx.Node:
        """Writes a plain function of values."""
        return self.joint.write_function(function, arguments, asks, self.cache)

    def _share(self, forward: fx.Node, primal: list[fx.Node]) -> None:
        """Lets the forward pass use the result that the rule had to compute again."""
        if isinstance(value(forward), Tensor):
            self.joint.replace(forward, primal[0])
            return
        for user in list(forward.users):
            if is_getitem(user):
                self.joint.replace(user, primal[part_of(user)[1]])


@dataclass(frozen=True)
class Site:
    """One call as data: which nodes a rule may read, and how they are arranged."""

    arguments: tuple[Any, ...]
    spec: pytree.TreeSpec
    constants: tuple[Any, ...]
    places: tuple[int, ...]
    examples: tuple[Any, ...]
    arrived: tuple[bool, ...]
    several: bool
    live: tuple[Operand, ...]
    form: Form
    never_negative: frozenset[Operand]

    @classmethod
    def of(
        cls,
        a: Assignment,
        arrived: Arrived,
        forward: Callable[[fx.Node], fx.Node],
        outs: Sequence[fx.Node],
    ) -> Site:
        """`forward` gives the joint graph's node for an operand, `outs` are the op's results."""
        bound = bind(a.node.target, a.node.args, a.node.kwargs)
        leaves, spec = pytree.tree_flatten(bound)
        places = tuple(i for i, leaf in enumerate(leaves) if isinstance(leaf, fx.Node))
        coming = [c for c in arrived.nodes if c is not None]
        nodes = [*coming, *outs, *(forward(leaves[i]) for i in places)]
        constants = tuple(None if i in places else leaf for i, leaf in enumerate(leaves))
        return cls(
            arguments=tuple(nodes),
            spec=spec,
            constants=constants,
            places=places,
            examples=tuple(value(n) for n in nodes),
            arrived=tuple(c is not None for c in arrived.nodes),
            several=not isinstance(value(a.node), Tensor),
            live=a.live,
            form=arrived.form,
            never_negative=a.never_negative,
        )

    def key(self) -> Any:
        shapes = tuple(signature(e) for e in self.examples)
        constants = tuple((type(c).__name__, str(c)) for c in self.constants)
        how = (self.arrived, self.live, self.form, self.never_negative)
        return (shapes, str(self.spec), constants, self.places, *how)

    def call(self, a: Assignment, given: Sequence[Any]) -> tuple[Call, Any]:
        """The call that a rule sees, and what arrives, from a flat list of values."""
        coming, outs = sum(self.arrived), len(self.arrived)
        rest = iter(given[:coming])
        arrived = tuple(next(rest) if there else None for there in self.arrived)
        results = tuple(given[coming : coming + outs])
        leaves = list(self.constants)
        for place, argument in zip(self.places, given[coming + outs :], strict=True):
            leaves[place] = argument
        arguments = pytree.tree_unflatten(leaves, self.spec)
        out = results if self.several else results[0]
        call = Call(
            a.op, arguments, a.live, out, form=self.form, never_negative=self.never_negative
        )
        return call, arrived if self.several else arrived[0]

    def live_inputs(self) -> list[int]:
        """Which of `arguments` are the live operands."""
        first = len(self.arguments) - len(self.places)
        where = {place: first + i for i, place in enumerate(self.places)}
        numbered = pytree.tree_unflatten(list(range(len(self.constants))), self.spec)
        return [where[pick(numbered, operand)] for operand in self.live]

    def trace(self, a: Assignment) -> Traced:
        """The rule's trace, with constant factors of its results taken out."""

        def run(*given: Any) -> list[Any]:
            call, arrived = self.call(a, given)
            passed = tuple(a.rule.propagate(call, arrived, **a.parameters))
            _check(call, passed)
            again = [] if call.primal is None else pytree.tree_leaves(call.primal)
            return [*passed, *again]

        template = trace(run, self.examples)
        count = len(a.live)
        bare = [without_factor(result) for result in template.results[:count]]
        coefficients = [node for node, _ in bare]
        primal = template.results[count:]
        live = [template.inputs[i] for i in self.live_inputs()]
        if not _shares_work(coefficients, primal, live):
            primal = ()
        return Traced(pruned(template, [*coefficients, *primal]), tuple(k for _, k in bare))


def _shares_work(results: Sequence[Any], primal: Sequence[Any], live: Sequence[fx.Node]) -> bool:
    """Whether the coefficients need the one kernel call that computes the op's own result.

    A result put together from several kernels may differ in the last bit: the model keeps its own.
    What only prepares constants (a mask's conversion) does not count.
    """
    found = upstream(primal) & set(after(set(live)))
    kernels = {n for n in found if not is_getitem(n) and not getattr(n.target, "is_view", False)}
    return len(kernels) == 1 and kernels <= upstream(results)


def _check(call: Call, passed: Sequence[Any]) -> None:
    if len(passed) != len(call.live):
        raise ValueError(f"it returned {len(passed)} coefficients for {len(call.live)} operands")
    for operand, back in zip(call.live, passed, strict=True):
        wanted = call.operand(operand)
        if back is not None and tuple(back.shape) != tuple(wanted.shape):
            raise ValueError(
                f"coefficient of {operand} has shape {tuple(back.shape)}, the operand"
                f" {tuple(wanted.shape)}"
            )


Start = Callable[[Loop], Sequence[Any]]


def start_at_output(loop: Loop) -> Sequence[Any]:
    """Seeds the whole output; the forward program returns what the model returns."""
    output = loop.plan.output.node
    seed = loop.joint.seed("seed", value(output))
    loop.wires.add(output, Flow(seed, Form.COEFFICIENT))
    return loop.model_outputs()


def propagate(
    plan: Plan, cache: Cache | None = None, start: Start = start_at_output
) -> Propagation:
    """Walks the plan backward from the explained output to the sources.

    `cache` holds traces by (rule, op, shapes); sharing it between calls saves set-up time.
    `start` seeds the output, may serve the ops that made it, and says what the forward program
    returns. Rules served there are done: `step` finds nothing left to pass on at their ops.
    """
    loop = Loop(plan, Joint.of(plan.captured), {} if cache is None else cache)
    outputs = start(loop)
    for assignment in reversed(plan.assignments):
        loop.step(assignment)
    conversions = tuple(loop.wires.conversions)
    return Propagation(loop.joint, tuple(outputs), loop.wires, tuple(loop.steps), conversions)
