"""Pass a coefficient from one dictionary, or the output, back to the dictionaries before it.

A path ends at the first dictionary that it meets: what is passed on there are features and their
error term, which are nodes of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, fx

from ..capture.ambient import leave_modes
from ..graphs.nodes import value
from ..method.call import Form
from ..programs.batched import run_many
from ..programs.program import Program, build_program
from ..promises.policy import Policy
from ..propagate.flows import Flow
from ..propagate.joint_graph import JointGraph
from ..propagate.propagator import Propagator
from .circuit_model import CircuitModel
from .node_programs import require_finite_coefficients


@dataclass(frozen=True)
class FeaturePaths:
    """A program from values that a dictionary is computed from to the nodes that relevance reaches.

    `program` is None where no rule passes anything on.
    """

    program: Program | None
    reached: tuple[fx.Node, ...]

    @leave_modes()
    def run(
        self, leaves: Sequence[Tensor], seeds: Sequence[Sequence[Tensor]], at_once: int
    ) -> list[dict[fx.Node, Tensor]]:
        """Return the coefficient at each node, for each seed.

        Args:
            leaves: the inputs of the model's graph; for two runs, behind them the reference's.
            seeds: for each reader the coefficient at every start, of the shape of its activation.
            at_once: how many readers run together.

        Raises:
            NotFiniteError: a coefficient is infinite or undefined; the message names its place.
        """
        if self.program is None:
            return [{} for _ in seeds]
        several = min(len(seeds), at_once) > 1
        relevance = self.program.batched if several else self.program.relevance
        with torch.no_grad():
            kept = self.program.forward(*leaves)
            found = run_many(relevance, seeds, [*leaves, *kept], at_once)
        named = [dict(zip(self.reached, one, strict=True)) for one in found]
        for one in named:
            require_finite_coefficients(one)
        return named


def feature_paths(
    model: CircuitModel,
    preset: str,
    starts: Sequence[fx.Node],
    sources: Sequence[fx.Node],
    stops: frozenset[fx.Node],
) -> FeaturePaths:
    """Return the program from `starts` back to `sources`, written once per model.

    Args:
        model: the model.
        preset: the rules.
        starts: values that a seed is given for. Those that are no stop, or the first, are walked
            past.
        sources: where coefficients are read.
        stops: where dictionaries write.
    """
    key = ("feature paths", preset, tuple(starts), tuple(sources), stops)
    return model.remember(key, lambda: _write(model, preset, starts, sources, stops))


def _write(
    model: CircuitModel,
    preset: str,
    starts: Sequence[fx.Node],
    sources: Sequence[fx.Node],
    stops: frozenset[fx.Node],
) -> FeaturePaths:
    plan, now = model.plan_at(preset, ())
    joint = JointGraph.of(plan.captured, plan.preset.runs)
    propagator = Propagator(plan, joint, model.traces)
    for start in starts:
        seed = joint.seed(f"seed_{start.name}", value(start))
        propagator.flows.add(now[start], Flow(seed, Form.COEFFICIENT))
    closed = {now[stop] for stop in stops if stop is not starts[0]}
    for assignment in reversed(plan.assignments):
        if assignment.node not in closed:
            propagator.step(assignment)
    found = {s: propagator.flows.at(now[s], Form.COEFFICIENT) for s in sources}
    reached = {s: flow for s, flow in found.items() if flow is not None}
    if not reached:
        return FeaturePaths(None, ())
    wanted = list(reached.values())
    program = build_program(joint, plan.captured.tensors, (), wanted, Policy.KEEP)
    return FeaturePaths(program, tuple(reached))
