"""One program for two kinds of coefficients: of both runs, and of the patched run alone.

Separate programs would run the patched run's forward pass twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, fx

from ..capture.ambient import leave_modes
from ..graphs.tracing_lock import one_at_a_time
from ..method.call import Form
from ..plan.prepare import PlanWithNodes
from ..programs.program import Program, build_program
from ..promises.policy import Policy
from ..propagate.propagator import propagate
from .circuit_model import CircuitModel
from .estimators import BothRuns, PathPoint
from .node_programs import RunValues, require_finite_coefficients

Found = Mapping[fx.Node, Tensor]


@dataclass(frozen=True)
class SharedForward:
    """Both runs' forward passes with two relevance passes behind them.

    `reached` holds the nodes with a coefficient of both runs, and those with one of the base run.
    """

    program: Program
    nodes: tuple[fx.Node, ...]
    reached: tuple[tuple[fx.Node, ...], tuple[fx.Node, ...]]

    @leave_modes()
    def run(
        self, inputs: Sequence[Tensor], seed: Callable[..., Tensor]
    ) -> tuple[RunValues, RunValues, Found, Found]:
        """Run everything once.

        Args:
            inputs: of the graph in the base run, then the other run's tensors.
            seed: maps the output of one run, or of both, to the coefficient of the output.

        Returns:
            The values of the base and of the other run; coefficients of both, and of the base run.

        Raises:
            NotFiniteError: a coefficient is infinite or undefined.
        """
        width = 1 + len(self.nodes)
        with torch.no_grad():
            values = list(self.program.forward(*inputs))
            base, other = (
                RunValues(v[0], dict(zip(self.nodes, v[1:], strict=True)))
                for v in (values[:width], values[width : 2 * width])
            )
            seeds = [seed(base.output, other.output), seed(base.output)]
            given = [*seeds, *inputs, *values[2 * width :]]
            del values
            results = list(self.program.relevance(given))
        count = len(self.reached[0])
        of_both = dict(zip(self.reached[0], results[:count], strict=True))
        of_base = dict(zip(self.reached[1], results[count:], strict=True))
        for found in (of_both, of_base):
            require_finite_coefficients(found)
        return base, other, of_both, of_base


def find_shared_forward(
    model: CircuitModel, both: BothRuns, base: PathPoint, nodes: tuple[fx.Node, ...]
) -> SharedForward | None:
    """Return the program of two terms, written once; None if their presets need other graphs."""

    def write() -> SharedForward | None:
        plans = [model.plan_at(term.preset, nodes) for term in (both, base)]
        same = plans[0].plan.captured.graph is plans[1].plan.captured.graph
        return _write(model, plans[0], plans[1], nodes) if same else None

    return model.remember(("shared forward", both.preset, base.preset, nodes), write)


@leave_modes()
@one_at_a_time
def _write(
    model: CircuitModel, two: PlanWithNodes, one: PlanWithNodes, nodes: tuple[fx.Node, ...]
) -> SharedForward:
    first = propagate(two.plan, model.traces)
    second = propagate(one.plan, model.traces, joint=first.joint)
    reached, results = [], []
    for propagation, planned in ((first, two), (second, one)):
        sources = {source.node for source in planned.plan.sources}
        mine = tuple(node for node in nodes if planned.nodes[node] in sources)
        flows = [propagation.flows.at(planned.nodes[n], Form.COEFFICIENT) for n in mine]
        reached.append(tuple(n for n, f in zip(mine, flows, strict=True) if f is not None))
        results += [flow for flow in flows if flow is not None]
    wanted = (two.plan.output.node, *(two.nodes[node] for node in nodes))
    runs = (first.joint.forward, first.joint.reference)
    outputs = [value_in(node) for value_in in runs for node in wanted]
    tensors = two.plan.captured.tensors
    program = build_program(first.joint, tensors, outputs, results, Policy.KEEP)
    return SharedForward(program, nodes, (reached[0], reached[1]))
