"""Programs of a captured model: activations at chosen nodes, and propagation coefficients there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, fx

from ..canonicalise import decompose
from ..canonicalise.rewriting import Copies, remapped, sweep
from ..capture import Captured, OutputPort
from ..capture.captured import InputPort
from ..errors import RuleError
from ..graphs.modules import module_of
from ..graphs.nodes import describe
from ..graphs.walk import upstream
from ..method.call import Form
from ..method.registry import Registry
from ..plan.assign import Uncovered, assign
from ..plan.plan import Plan, SourcePort
from ..presets.preset import Preset
from ..programs.program import Program, build
from ..promises.promise import Policy
from ..propagate.propagator import propagate
from ..propagate.trace_cache import Cache

Activations = Callable[..., Sequence[Tensor]]


def start_at(captured: Captured, nodes: Sequence[fx.Node]) -> tuple[Captured, tuple[fx.Node, ...]]:
    """The same model with further inputs in the place of some nodes; gives those inputs' nodes."""
    graph = fx.Graph()
    copies: Copies = {}
    for node in captured.graph.nodes:
        if node.op == "call_function" and not copies.keys() & set(nodes):
            copies |= {start: _placeholder(graph, start) for start in nodes}
        if node not in copies:
            copies[node] = graph.node_copy(node, copies.__getitem__)
    sweep(graph)
    started = remapped(captured, graph, copies)
    new = tuple(copies[node] for node in nodes)
    ports = tuple(InputPort(node.name, node) for node in new)
    return replace(started, inputs=(*started.inputs, *ports)), new


def _placeholder(graph: fx.Graph, like: fx.Node) -> fx.Node:
    made = graph.placeholder(like.name)
    made.meta = dict(like.meta)
    return made


def covered(captured: Captured, try_plan: Callable[[Captured], Plan]) -> Captured:
    """The capture with every op that has no rule taken apart, a level at a time.

    Raises CoverageError for ops that can neither be served nor taken apart.
    """
    while True:
        try:
            try_plan(captured)
        except Uncovered as gap:
            simpler = decompose(captured, gap.nodes)
            if simpler is None:
                raise
            captured = simpler
        else:
            return captured


def activation_program(captured: Captured, nodes: Sequence[fx.Node]) -> fx.GraphModule:
    """A program (*inputs) -> values of `nodes`; computes nothing else."""
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    needed = upstream(nodes)
    for node in captured.graph.nodes:
        if node.op == "placeholder" or node in needed:
            copies[node] = graph.node_copy(node, lambda n: copies[n])
    graph.output(tuple(copies[node] for node in nodes))
    return module_of(captured.tensors, graph)


@dataclass(frozen=True)
class Coefficients:
    """Programs that give the activation at each of `nodes`, and the coefficient at `reached`.

    `forward(*inputs)` returns the output, the activations, then what `relevance` needs. Nodes that
    no relevance reaches under the preset (query and key under the AH-rule) have no coefficient.
    """

    program: Program
    nodes: tuple[fx.Node, ...]
    reached: tuple[fx.Node, ...]

    def run(self, inputs: Sequence[Tensor], seed: Callable[[Tensor], Tensor]) -> Traced:
        """One forward and one relevance pass; `seed` maps the output to its coefficient."""
        with torch.no_grad():
            values = list(self.program.forward(*inputs))
            output, count = values[0], len(self.nodes)
            activations = dict(zip(self.nodes, values[1:], strict=False))
            given = [seed(output), *inputs, *values[1 + count :]]
            del values
            found = list(self.program.relevance(given))
        return Traced(output, activations, dict(zip(self.reached, found, strict=True)))


@dataclass(frozen=True)
class Traced:
    """What one run with its relevance pass gives: activations and coefficients by node."""

    output: Tensor
    activations: Mapping[fx.Node, Tensor]
    coefficients: Mapping[fx.Node, Tensor]


def coefficient_program(
    captured: Captured,
    registry: Registry,
    preset: Preset,
    output: OutputPort,
    embeddings: Sequence[fx.Node],
    nodes: Sequence[fx.Node],
    cache: Cache,
) -> Coefficients:
    """One relevance pass that gives the coefficient at every one of `nodes`.

    The embeddings are always sources: which operands carry relevance, and so how a product is
    split, must not depend on where the coefficient is read.
    """
    wanted = dict.fromkeys([*embeddings, *nodes])
    sources = tuple(SourcePort(node.name, node) for node in wanted)
    plan = assign(captured, preset, registry, sources, output)
    propagation = propagate(plan, cache)
    reached = tuple(source.node for source in plan.sources if source.node in set(nodes))
    results = []
    for node in reached:
        flow = propagation.flows.at(node, Form.COEFFICIENT)
        if flow is None:
            raise RuleError(f"no rule passed any relevance on to {describe(node)}")
        results.append(flow)
    outputs = [propagation.joint.forward(node) for node in (output.node, *nodes)]
    program = build(propagation.joint, captured.tensors, outputs, results, Policy.KEEP)
    return Coefficients(program, tuple(nodes), reached)
