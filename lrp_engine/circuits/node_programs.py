"""Programs of a captured model: activations at chosen nodes, and propagation coefficients there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, fx

from ..canonicalise.rewriting import Copies, remap, sweep
from ..capture import Captured
from ..capture.ambient import leave_modes
from ..capture.captured import InputPort
from ..errors import NotFiniteError, RuleError, SourceError
from ..graphs.loops import find_loops
from ..graphs.modules import module_of
from ..graphs.nodes import describe
from ..graphs.walk import upstream
from ..method.call import Form
from ..plan.prepare import PlanWithNodes
from ..programs.program import Program, build_program
from ..promises.policy import Policy
from ..propagate.propagator import propagate
from ..propagate.trace_cache import TraceCache
from ..run.finiteness import ADVICE, Answer


def start_at(captured: Captured, nodes: Sequence[fx.Node]) -> tuple[Captured, Copies]:
    """Return the same model with further inputs in the place of some nodes.

    The inputs come after the model's own, in the order of `nodes`. Also returned: what each node
    of the old graph has become.

    Raises:
        SourceError: a node lies within a step of a recurrent layer.
    """
    _refuse_within_steps(captured, nodes)
    graph = fx.Graph()
    copies: Copies = {}
    starts: dict[fx.Node, fx.Node] = {}
    for node in captured.graph.nodes:
        if node.op == "call_function" and not starts:
            starts = {start: _placeholder(graph, start) for start in nodes}
            copies |= starts
        if node not in copies:
            copies[node] = graph.node_copy(node, copies.__getitem__)
    sweep(graph)
    started = remap(captured, graph, copies)
    ports = tuple(InputPort(start.name, start) for start in starts.values())
    return replace(started, inputs=(*started.inputs, *ports)), copies


def _refuse_within_steps(captured: Captured, nodes: Sequence[fx.Node]) -> None:
    """Refuse values that a recurrence computes at every step, by a program of its own."""
    for loop in find_loops(captured.graph):
        within = (loop.each - set(loop.start.all_input_nodes)) & set(nodes)
        for node in within:
            raise SourceError(
                f"{describe(node)} lies within a step of a recurrent layer: what it is replaced"
                " with would not reach the steps after. Choose the layer's output, or its input."
            )


def _placeholder(graph: fx.Graph, like: fx.Node) -> fx.Node:
    made = graph.placeholder(like.name)
    made.meta = dict(like.meta)
    return made


def activation_program(captured: Captured, nodes: Sequence[fx.Node]) -> fx.GraphModule:
    """Write a program (*inputs) -> values of `nodes`; it computes nothing else."""
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    needed = upstream(nodes)
    for node in captured.graph.nodes:
        if node.op == "placeholder" or node in needed:
            copies[node] = graph.node_copy(node, lambda n: copies[n])
    graph.output(tuple(copies[node] for node in nodes))
    return module_of(captured.tensors, graph)


@dataclass(frozen=True)
class RunValues:
    """The output of one run, and its activation at each node."""

    output: Tensor
    activations: Mapping[fx.Node, Tensor]


@dataclass(frozen=True)
class NodeValues:
    """Values of one run, or of the explained run and then its reference; coefficients."""

    runs: tuple[RunValues, ...]
    coefficients: Mapping[fx.Node, Tensor]


@dataclass(frozen=True)
class NodePrograms:
    """Programs that give the activation at each of `nodes`, and the coefficient at `reached`.

    `forward(*inputs)` returns output and activations of each run, then what `relevance` needs.
    `runs` is how many runs the preset's rules see. Nodes that no relevance reaches under the preset
    (query and key under the AH-rule) have no coefficient.
    """

    program: Program
    nodes: tuple[fx.Node, ...]
    reached: tuple[fx.Node, ...]
    runs: int

    @leave_modes()
    def run(self, inputs: Sequence[Tensor], seed: Callable[..., Tensor]) -> NodeValues:
        """Run the forward and the relevance program once.

        Args:
            inputs: of the graph; for a preset of two runs, behind them the reference's tensors.
            seed: maps the output of each run to the coefficient of the output.

        Raises:
            NotFiniteError: a coefficient is infinite or undefined.
        """
        with torch.no_grad():
            values = list(self.program.forward(*inputs))
            width = 1 + len(self.nodes)
            runs = tuple(self._values(values[i * width :]) for i in range(self.runs))
            given = [seed(*(run.output for run in runs)), *inputs, *values[self.runs * width :]]
            del values
            found = dict(zip(self.reached, self.program.relevance(given), strict=True))
        require_finite_coefficients(found)
        return NodeValues(runs, found)

    def _values(self, values: Sequence[Tensor]) -> RunValues:
        return RunValues(values[0], dict(zip(self.nodes, values[1:], strict=False)))


def require_finite_coefficients(found: Mapping[fx.Node, Tensor]) -> None:
    """Raise NotFiniteError if a coefficient is not finite; name the node nearest to the output."""
    if not found or Answer(list(found.values())).read():
        return
    wrong = [node for node, c in found.items() if not bool(torch.isfinite(c).all())]
    order = {node: i for i, node in enumerate(wrong[0].graph.nodes)}
    last = max(wrong, key=order.__getitem__)
    raise NotFiniteError(
        f"the coefficient is not finite at {describe(last)}, and at {len(wrong) - 1} more of"
        f" {len(found)} places: relevance became infinite or undefined at this op or between it and"
        f" the output. {ADVICE}",
        last.name,
    )


@leave_modes()
def coefficient_program(
    planned: PlanWithNodes, nodes: Sequence[fx.Node], traces: TraceCache
) -> NodePrograms:
    """Write one relevance pass that gives the coefficient at every one of `nodes`.

    Args:
        planned: a plan whose sources hold the embeddings and `nodes`: which operands carry
            relevance, and so how a product is split, must not depend on where it is read.
        nodes: nodes of the graph that was planned.
        traces: traces of rules, shared by the model's programs.
    """
    plan, now = planned
    propagation = propagate(plan, traces)
    sources = {source.node for source in plan.sources}
    reached = tuple(node for node in nodes if now[node] in sources)
    results = []
    for node in reached:
        flow = propagation.flows.at(now[node], Form.COEFFICIENT)
        if flow is None:
            raise RuleError(f"no rule passed any relevance on to {describe(node)}")
        results.append(flow)
    wanted = (plan.output.node, *(now[node] for node in nodes))
    runs = [propagation.joint.forward, propagation.joint.reference][: plan.preset.runs]
    outputs = [value_in(node) for value_in in runs for node in wanted]
    program = build_program(propagation.joint, plan.captured.tensors, outputs, results, Policy.KEEP)
    return NodePrograms(program, tuple(nodes), reached, len(runs))
