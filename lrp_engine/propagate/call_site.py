"""Describe one call as data, and trace a rule at it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, fx
from torch.utils import _pytree as pytree

from ..graphs.aten import split_factor
from ..graphs.nodes import is_getitem, value
from ..graphs.schema import Operand, bind, pick
from ..graphs.tracing import Template, prune, signature, trace
from ..graphs.walk import downstream, upstream
from ..method.call import Call, Form
from ..method.op import Op
from ..method.zeros import pass_on
from ..plan.plan import Assignment
from .flows import Arrived, travels

# What arrives at an op: a tensor, or one per result, None where nothing arrives.
Arriving = Tensor | tuple[Tensor | None, ...] | None


@dataclass(frozen=True)
class RuleTrace:
    """A rule's trace.

    `template` returns one result per live operand, each to be multiplied by its factor, then the
    op's own result if the rule had to compute it again.
    """

    template: Template
    factors: tuple[float, ...]


@dataclass(frozen=True)
class CallSite:
    """One call as data: the nodes that a rule may read, and how they are arranged.

    `arguments` are, in this order, what arrived, the op's results and its operands; `examples` are
    their fake values. `constants` are the leaves of the op's arguments, None at `places`, where the
    operands belong; `spec` is the arguments' structure. `arrived` tells for each result whether
    anything arrived there, `several` whether the op returns a tuple. Where there is a reference
    run, `references` says which of `arguments` are its results and operands.
    """

    arguments: tuple[fx.Node, ...]
    spec: pytree.TreeSpec
    constants: tuple[object, ...]
    places: tuple[int, ...]
    examples: tuple[object, ...]
    arrived: tuple[bool, ...]
    several: bool
    live: tuple[Operand, ...]
    form: Form
    never_negative: frozenset[Operand]
    references: tuple[int, ...] = ()

    @classmethod
    def of(
        cls,
        a: Assignment,
        arrived: Arrived,
        forward: Callable[[fx.Node], fx.Node],
        outs: Sequence[fx.Node],
    ) -> CallSite:
        """Describe the call of one op.

        Args:
            a: The op and its rule.
            arrived: What arrived at its results.
            forward: Returns the joint graph's node for an operand.
            outs: The joint graph's nodes for the op's results.
        """
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

    def with_reference(
        self,
        a: Assignment,
        reference: Callable[[fx.Node], fx.Node],
        others: Sequence[fx.Node],
    ) -> CallSite:
        """Return the same call with the reference run's values beside its own.

        Args:
            a: The op and its rule.
            reference: Returns the joint graph's node for an operand in the reference run.
            others: The joint graph's nodes for the op's results in that run.
        """
        leaves = pytree.tree_leaves(bind(a.node.target, a.node.args, a.node.kwargs))
        others = [*others, *(reference(leaves[i]) for i in self.places)]
        first = sum(self.arrived)
        nodes, references = list(self.arguments), []
        for i, (own, other) in enumerate(zip(self.arguments[first:], others, strict=True), first):
            if other is not own and other not in nodes:
                nodes.append(other)
            references.append(i if other is own else nodes.index(other))
        examples = tuple(value(n) for n in nodes)
        return replace(
            self, arguments=tuple(nodes), examples=examples, references=tuple(references)
        )

    def key(self) -> Hashable:
        """Return what a trace depends on: calls of equal keys share one."""
        shapes = tuple(signature(e) for e in self.examples)
        constants = tuple((type(c).__name__, str(c)) for c in self.constants)
        how = (self.arrived, self.live, self.form, self.never_negative, self.references)
        return (shapes, str(self.spec), constants, self.places, *how)

    def call(self, a: Assignment, given: Sequence[Any]) -> tuple[Call[Op], Arriving]:
        """Return the call that a rule sees, and what arrives, from a flat list of values."""
        coming, outs = sum(self.arrived), len(self.arrived)
        rest = iter(given[:coming])
        arrived = tuple(next(rest) if there else None for there in self.arrived)
        own = range(coming, coming + outs + len(self.places))
        call = self._one_run(a, [given[i] for i in own])
        if self.references:
            call.reference = self._one_run(a, [given[i] for i in self.references])
        return call, arrived if self.several else arrived[0]

    def _one_run(self, a: Assignment, given: Sequence[Any]) -> Call[Op]:
        """Return the call in one run, from its results and operands."""
        results, operands = given[: len(self.arrived)], given[len(self.arrived) :]
        leaves = list(self.constants)
        for place, argument in zip(self.places, operands, strict=True):
            leaves[place] = argument
        return Call(
            a.op,
            pytree.tree_unflatten(leaves, self.spec),
            a.live,
            tuple(results) if self.several else results[0],
            form=self.form,
            never_negative=self.never_negative,
        )

    def results_by_run(self) -> list[tuple[fx.Node, ...]]:
        """Return for each result of the op its nodes: of this run, and of the reference run."""
        first = sum(self.arrived)
        return [self._by_run(first + i) for i in range(len(self.arrived))]

    def operands_by_run(self) -> list[tuple[fx.Node, ...]]:
        """Return the same for each live operand."""
        return [self._by_run(i) for i in self.live_inputs()]

    def _by_run(self, i: int) -> tuple[fx.Node, ...]:
        if not self.references:
            return (self.arguments[i],)
        return (self.arguments[i], self.arguments[self.references[i - sum(self.arrived)]])

    def live_inputs(self) -> list[int]:
        """Return which of `arguments` are the live operands."""
        first = sum(self.arrived) + len(self.arrived)
        where = {place: first + i for i, place in enumerate(self.places)}
        numbered = pytree.tree_unflatten(list(range(len(self.constants))), self.spec)
        return [where[pick(numbered, operand)] for operand in self.live]

    def trace(self, a: Assignment) -> RuleTrace:
        """Trace the rule, and take constant factors out of its results."""

        def run(*given: object) -> list[object]:
            call, arrived = self.call(a, given)
            passed = pass_on(a.rule, call, arrived, a.parameters, a.absorbs_zeros)
            _check(call, passed)
            again = [] if call.primal is None else pytree.tree_leaves(call.primal)
            return [*passed, *again]

        template = trace(run, self.examples)
        count = len(a.live)
        bare = [split_factor(result, travels) for result in template.results[:count]]
        coefficients = [node if isinstance(node, fx.Node) else None for node, _ in bare]
        primal = template.results[count:]
        live = [template.inputs[i] for i in self.live_inputs()]
        if not _shares_work(coefficients, primal, live):
            primal = ()
        return RuleTrace(prune(template, [*coefficients, *primal]), tuple(k for _, k in bare))


def _shares_work(
    results: Sequence[object], primal: Sequence[object], live: Sequence[fx.Node]
) -> bool:
    """Return whether the coefficients need the one kernel call that computes the op's own result.

    A result put together from several kernels may differ in the last bit: the model keeps its own.
    What only prepares constants (a mask's conversion) does not count.
    """
    found = upstream(primal) & set(downstream(set(live)))
    kernels = {n for n in found if not is_getitem(n) and not getattr(n.target, "is_view", False)}
    return len(kernels) == 1 and kernels <= upstream(results)


def _check(call: Call[Op], passed: Sequence[Tensor | None]) -> None:
    if len(passed) != len(call.live):
        raise ValueError(f"it returned {len(passed)} coefficients for {len(call.live)} operands")
    for operand, back in zip(call.live, passed, strict=True):
        wanted = call.operand(operand)
        if back is not None and tuple(back.shape) != tuple(wanted.shape):
            raise ValueError(
                f"coefficient of {operand} has shape {tuple(back.shape)}, the operand"
                f" {tuple(wanted.shape)}"
            )
