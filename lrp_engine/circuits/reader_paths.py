"""Pass a coefficient from each reader of the residual stream back to the stream, one by one.

A reader is a head's query, key or value, an MLP, or the output. A seed at one reader is passed back
by the same rules as in the whole model, so that the readers' coefficients add up to the
stream's. Heads run side by side under `vmap`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, fx

from ..capture.ambient import leave_modes
from ..errors import RuleError
from ..graphs.nodes import describe, value
from ..method.call import Form
from ..plan.plan import Plan
from ..programs.program import Program, build_program
from ..promises.policy import Policy
from ..propagate.flows import Flow
from ..propagate.joint_graph import JointGraph
from ..propagate.propagator import Propagator
from .blocks import Block
from .circuit_model import CircuitModel
from .heads import HeadAxes
from .node_programs import require_finite_coefficients


@dataclass(frozen=True)
class ReaderProgram:
    """One program for several readers.

    `axes` is where each has its heads, which run side by side; empty if they have none.
    """

    program: Program
    readers: tuple[fx.Node, ...]
    axes: tuple[HeadAxes, ...]

    def run(self, leaves: Sequence[Tensor], seeds: Mapping[fx.Node, Tensor]) -> list[Tensor]:
        """Return the coefficient in the stream per reader: (head or 1, batch, position, feature).

        Args:
            leaves: the inputs of the model's graph; for two runs, behind them the reference's.
            seeds: the coefficient at each reader, of the shape of its activation.
        """
        kept = list(self.program.forward(*leaves))
        relevance = self.program.batched if self.axes else self.program.relevance

        def back(*given: Tensor) -> tuple[Tensor, ...]:
            return tuple(relevance([*given, *leaves, *kept]))

        own = [seeds[reader] for reader in self.readers]
        if not self.axes:
            return [found.unsqueeze(0) for found in back(*own)]
        alone = [axes.isolate_heads(c) for axes, c in zip(self.axes, own, strict=True)]
        return list(torch.vmap(back)(*alone))


@dataclass(frozen=True)
class ReaderPaths:
    """The programs of all readers of a model."""

    programs: tuple[ReaderProgram, ...]

    @leave_modes()
    def run(
        self, leaves: Sequence[Tensor], seeds: Mapping[fx.Node, Tensor]
    ) -> dict[fx.Node, Tensor]:
        """Return what a coefficient at each reader sends into the stream, head by head.

        Takes and returns what `ReaderProgram.run` does, for all readers that relevance reaches.

        Raises:
            NotFiniteError: a coefficient is infinite or undefined; the message names the reader.
        """
        found: dict[fx.Node, Tensor] = {}
        with torch.no_grad():
            for part in self.programs:
                found |= zip(part.readers, part.run(leaves, seeds), strict=True)
        require_finite_coefficients(found)
        return found


def reader_paths(model: CircuitModel, preset: str, blocks: Sequence[Block]) -> ReaderPaths:
    """Return the programs from every reader back to the stream, under the whole model's rules.

    Readers that no relevance reaches (query and key under the AH-rule) have none.

    Raises:
        RuleError: no relevance comes back from the output.
    """
    return model.remember(
        ("reader paths", preset), lambda: ReaderPaths(tuple(_write(model, preset, blocks)))
    )


def _write(model: CircuitModel, preset: str, blocks: Sequence[Block]) -> Iterator[ReaderProgram]:
    plan, now = model.plan_at(preset, ())
    output, last = model.output.node, model.structure.last
    assert last is not None
    axes = {r.node: r.axes for b in blocks if b.heads is not None for r in b.heads.readers}
    for heads, ways in _group_by_heads(model, preset, blocks).items():
        joint = JointGraph.of(plan.captured, plan.preset.runs)
        results = {reader: _back(model, plan, joint, now[reader], now[s]) for reader, s in ways}
        reached = {reader: found for reader, found in results.items() if found is not None}
        if output in results and output not in reached:
            raise RuleError(f"no rule passed any relevance on to {describe(last)}")
        if reached:
            wanted = list(reached.values())
            program = build_program(joint, plan.captured.tensors, (), wanted, Policy.KEEP)
            yield ReaderProgram(program, tuple(reached), tuple(axes[n] for n in reached if heads))


def _group_by_heads(
    model: CircuitModel, preset: str, blocks: Sequence[Block]
) -> dict[int, list[tuple[fx.Node, fx.Node]]]:
    """By number of heads (0: none): (reader, stream value that it reads) where relevance passes."""
    last = model.structure.last
    assert last is not None
    readers = [*(n for b in blocks for n in b.readers), model.output.node]
    live = model.coefficients(preset, readers).reached
    groups: dict[int, list[tuple[fx.Node, fx.Node]]] = defaultdict(list)
    for b in blocks:
        heads = b.heads.z.heads if b.heads is not None else 0
        groups[heads] += [(reader, b.reads) for reader in b.readers if reader in live]
    groups[0].append((model.output.node, last))
    return groups


def _back(
    model: CircuitModel, plan: Plan, joint: JointGraph, start: fx.Node, stop: fx.Node
) -> fx.Node | None:
    """Pass a seed from `start` back to the coefficient at `stop`; None if no rule lets it pass."""
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
