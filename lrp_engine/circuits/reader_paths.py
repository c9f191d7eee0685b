"""From each reader of the residual stream back to the stream, one reader at a time.

A reader is a head's query, key or value, an MLP, or the output. A seed at one reader is walked
back through the same assignments as in the whole model, so that the readers' coefficients add up to
the stream's. Heads run side by side under `vmap`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, fx

from ..errors import RuleError
from ..graphs.nodes import describe, value
from ..method.call import Form
from ..plan.plan import Plan
from ..programs.program import Program, build
from ..promises.promise import Policy
from ..propagate.flows import Flow
from ..propagate.joint_graph import JointGraph
from ..propagate.propagator import Propagator
from .blocks import Branch
from .circuit_model import CircuitModel


def starts_of(b: Branch) -> tuple[fx.Node, ...]:
    """Where a block's readers start: query, key and value, or the block's output."""
    return (b.heads.query, b.heads.key, b.heads.value) if b.heads is not None else (b.out,)


@dataclass(frozen=True)
class Part:
    """One program for several starts. `heads` is how many run side by side, 0 for none."""

    program: Program
    starts: tuple[fx.Node, ...]
    heads: int

    def run(self, leaves: Sequence[Tensor], seeds: Mapping[fx.Node, Tensor]) -> list[Tensor]:
        """The coefficient in the stream per start: (head, batch, ...) or (1, batch, ...)."""
        kept = list(self.program.forward(*leaves))

        def back(*given: Tensor) -> tuple[Tensor, ...]:
            return tuple(self.program.relevance([*given, *leaves, *kept]))

        own = [seeds[start] for start in self.starts]
        if not self.heads:
            return [found.unsqueeze(0) for found in back(*own)]
        return list(torch.vmap(back)(*map(one_head_each, own)))


@dataclass(frozen=True)
class Segments:
    """The programs of all readers of a model."""

    parts: tuple[Part, ...]

    def run(
        self, leaves: Sequence[Tensor], seeds: Mapping[fx.Node, Tensor]
    ) -> dict[fx.Node, Tensor]:
        """What a coefficient at each start sends into the stream, head by head."""
        found: dict[fx.Node, Tensor] = {}
        with torch.no_grad():
            for part in self.parts:
                found |= zip(part.starts, part.run(leaves, seeds), strict=True)
        return found


def one_head_each(c: Tensor) -> Tensor:
    """(head, batch, head, ...): entry h holds the coefficient of head h and nothing else."""
    count = c.shape[1]
    only = torch.eye(count, dtype=c.dtype, device=c.device).view(count, 1, count, 1, 1)
    return c.unsqueeze(0) * only


def segments(model: CircuitModel, preset: str, branches: Sequence[Branch]) -> Segments:
    """The programs from every reader back to the stream, under the rules of the whole model.

    Readers that no relevance reaches (query and key under the AH-rule) have none.
    """
    found: Segments = model.remember(
        ("segments", preset), lambda: Segments(tuple(_write(model, preset, branches)))
    )
    return found


def _write(model: CircuitModel, preset: str, branches: Sequence[Branch]) -> Iterator[Part]:
    plan, now = model.plan_at(preset, ())
    assert model.structure.last is not None
    ends = [*(n for b in branches for n in starts_of(b)), model.output.node]
    live = model.coefficients(preset, tuple(ends)).reached
    groups: dict[int, list[tuple[fx.Node, fx.Node]]] = defaultdict(list)
    for b in branches:
        heads = int(value(b.heads.z).shape[1]) if b.heads is not None else 0
        groups[heads] += [(start, b.reads) for start in starts_of(b) if start in live]
    groups[0].append((model.output.node, model.structure.last))
    for heads, ways in groups.items():
        joint = JointGraph.of(plan.captured)
        results = {start: _back(model, plan, joint, now[start], now[stop]) for start, stop in ways}
        reached = {start: found for start, found in results.items() if found is not None}
        if model.output.node in results and model.output.node not in reached:
            raise RuleError(f"no rule passed any relevance on to {describe(model.structure.last)}")
        if reached:
            wanted = list(reached.values())
            program = build(joint, plan.captured.tensors, (), wanted, Policy.KEEP)
            yield Part(program, tuple(reached), heads)


def _back(
    model: CircuitModel, plan: Plan, joint: JointGraph, start: fx.Node, stop: fx.Node
) -> fx.Node | None:
    """The coefficient that a seed at `start` sends to `stop`; None if no rule lets it pass."""
    propagator = Propagator(plan, joint, model.traces)
    seed = joint.seed(f"seed_{start.name}", value(start))
    propagator.flows.add(start, Flow(seed, Form.COEFFICIENT))
    for assignment in reversed(plan.assignments):
        if assignment.node is stop:
            break
        propagator.step(assignment)
    back = propagator.flows.at(stop, Form.COEFFICIENT)
    if back is None:
        joint.seeds.remove(seed)
    return back
