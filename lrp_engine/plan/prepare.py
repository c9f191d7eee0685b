"""Prepare a model: capture, canonicalise, decompose, assign. Every plan is made here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from torch import fx, nn
from torch.export import ExportedProgram

from ..canonicalise import (
    canonicalise,
    decide_exponents,
    decompose,
    fold_batch_norm,
    join_biases,
    split_complex,
)
from ..canonicalise.complex_numbers import without_spelled
from ..canonicalise.rewriting import Rewritten
from ..capture import Captured, OutputPort, capture
from ..capture.ambient import leave_modes
from ..capture.captured import CapturesItself
from ..errors import InputError, SourceError
from ..graphs.leftovers import clear_caches_with
from ..graphs.tracing_lock import one_at_a_time
from ..method.op import Op
from ..method.registry import Registry, standard
from ..method.rule import Rule
from ..preset.choices import AUTO
from ..preset.preset import Preset
from ..preset.preset_file import complete, load
from .assign import Uncovered, assign
from .explained import NOT_THE_MODELS_OWN, choose_output, find_output
from .plan import Plan, SourcePort
from .sources import Sources, resolve_sources
from .structure import choose_by_structure

ModelSource = nn.Module | ExportedProgram | Callable[..., Any] | str | Path
Nodes = Mapping[fx.Node, fx.Node]
ChooseSources = Callable[[Captured, Nodes], Sources]


class PlanWithNodes(NamedTuple):
    """A plan, and what each node of the prepared graph has become in the plan's own graph."""

    plan: Plan
    nodes: Nodes


@dataclass(frozen=True)
class ModelRecipe:
    """Hold what a model was prepared from, for another process to prepare it again."""

    model: ModelSource
    example_inputs: Any
    output: str | None
    dynamic: Any
    rules: tuple[Op | Rule, ...]


@dataclass(frozen=True)
class PreparedModel:
    """A captured and canonicalised model with the output to explain; every preset starts here.

    Planning never changes it: ops that a preset cannot serve are decomposed, and batch norms that
    it wants folded are folded, in a graph of the plan's own.
    """

    captured: Captured
    registry: Registry
    output: OutputPort
    recipe: ModelRecipe

    def load_preset(self, preset: str | Path | Preset) -> Preset:
        """Load a preset against this model's registry; `auto` is chosen by the model's structure.

        Raises PresetError if it is incomplete.
        """
        if preset == AUTO:
            choice = choose_by_structure(self.captured, self.registry, self.output)
            return replace(self.load_preset(choice.preset), reason=choice.reason)
        return complete(load(preset, self.registry), self.registry)

    @one_at_a_time
    def plan(self, preset: Preset, sources: Sequence[str] | None = None) -> Plan:
        """Plan relevance from the output to the named sources (default: all inputs).

        Raises:
            CoverageError: ops that have no rule and cannot be decomposed.
            SourceError: a source that does not exist or that no relevance reaches.
            PresetError: a row that names a place which is not in the model.
        """

        def choose(captured: Captured, _: Nodes) -> Sources:
            return self._resolve(captured, sources)

        plan, nodes = self._plan(preset, choose)
        if sources is not None:
            reached = {port.node for port in plan.sources}
            lost = [s.name for s in choose(plan.captured, nodes).ports if s.node not in reached]
            if lost:
                raise SourceError(
                    f"no relevance from {plan.output.name!r} reaches {', '.join(lost)}"
                )
        return plan

    @one_at_a_time
    def plan_at(self, preset: Preset, nodes: Iterable[fx.Node]) -> PlanWithNodes:
        """Plan relevance from the output to nodes of this graph.

        `plan.sources` holds those that relevance reaches, in the plan's own graph.
        """
        wanted = tuple(nodes)

        def choose(_: Captured, now: Nodes) -> Sources:
            return Sources(tuple(SourcePort(node.name, now[node]) for node in wanted))

        return self._plan(preset, choose)

    @leave_modes()
    @one_at_a_time
    def decompose_for(self, preset: Preset) -> PreparedModel:
        """Decompose every op that a preset cannot serve, for good.

        Raises CoverageError for ops that can be neither served nor decomposed.
        """
        covered = self._cover(preset, self._choose_inputs).plan
        return self.on(covered.captured)

    def on(self, captured: Captured) -> PreparedModel:
        """Return the same model on another graph with the same outputs."""
        return replace(self, captured=captured, output=_same_port(captured, self.output))

    def _choose_inputs(self, captured: Captured, _: Nodes) -> Sources:
        return self._resolve(captured, None)

    def _resolve(self, captured: Captured, names: Sequence[str] | None) -> Sources:
        output = _same_port(captured, self.output)
        return resolve_sources(captured, self.registry, names, output.node)

    @leave_modes()
    def _plan(self, preset: Preset, choose: ChooseSources) -> PlanWithNodes:
        plan, nodes = self._cover(preset, choose)
        captured = plan.captured
        if joined := join_biases(captured, [port.node for port in choose(captured, nodes).ports]):
            captured, nodes = joined.captured, _follow(nodes, joined)
        if preset.fold_batch_norm:
            folded = fold_batch_norm(captured)
            captured, nodes = folded.captured, _follow(nodes, folded)
        if captured is plan.captured:
            return PlanWithNodes(plan, nodes)
        return PlanWithNodes(self._assign(captured, nodes, preset, choose), nodes)

    def _cover(self, preset: Preset, choose: ChooseSources) -> PlanWithNodes:
        """Assign rules; decompose what has none, one level at a time, until everything has one."""
        captured: Captured = self.captured
        nodes: Nodes = {node: node for node in captured.graph.nodes}
        while True:
            try:
                return PlanWithNodes(self._assign(captured, nodes, preset, choose), nodes)
            except Uncovered as gap:
                gaps = without_spelled(gap.reasons, self.registry)
                simpler = decompose(captured, gaps)
                if simpler is None:
                    raise
                captured, nodes = simpler.captured, _follow(nodes, simpler)
                if split := split_complex(captured, self.registry):
                    captured, nodes = split.captured, _follow(nodes, split)
                captured = decide_exponents(captured)

    def _assign(
        self, captured: Captured, nodes: Nodes, preset: Preset, choose: ChooseSources
    ) -> Plan:
        output = _same_port(captured, self.output)
        return assign(captured, preset, self.registry, choose(captured, nodes), output)


@one_at_a_time
def prepare(
    model: ModelSource,
    example_inputs: Any = None,
    *,
    output: str | None = None,
    dynamic: Any = True,
    rules: Iterable[Op | Rule] = (),
) -> PreparedModel:
    """Capture and canonicalise a model of any kind.

    Args:
        model: a torch module, an ExportedProgram, a function of tensors, or a path of an ONNX file.
        example_inputs: a tensor, a tuple of arguments, or a mapping of keyword arguments. An ONNX
            file and an ExportedProgram need none.
        output: name of the output to explain, a module's path or a node's name for a value inside
            of the model, or `scores` for what a final softmax or sigmoid reads, or `all` for a
            metric of all outputs, a function of a dict; default `logits` if there is one, else the
            first with floating-point numbers.
        dynamic: False fixes all sizes; a torch.export `dynamic_shapes` spec is passed on.
        rules: a user's own op records and rules.

    Raises:
        CaptureError: torch cannot capture the model.
        InputError: example inputs are missing or do not fit.
        TargetError: there is no floating-point value of that name.
    """
    recipe = ModelRecipe(model, example_inputs, output, dynamic, tuple(rules))
    registry = standard().with_entries(recipe.rules) if recipe.rules else standard()
    captured = _capture(model, example_inputs, dynamic, output)
    registry = registry.with_entries(captured.records) if captured.records else registry
    with leave_modes():
        captured = choose_output(canonicalise(captured, registry), registry, output)
    prepared = PreparedModel(captured, registry, find_output(captured, output), recipe)
    clear_caches_with(prepared, captured.graph)
    return prepared


def _capture(model: ModelSource, example: Any, dynamic: Any, output: str | None) -> Captured:
    if isinstance(model, (str, Path)):
        from ..onnx import load as load_onnx  # loads protobuf, which only files need

        model = load_onnx(model)
    if isinstance(model, CapturesItself):
        inner = None if output in NOT_THE_MODELS_OWN else output
        return model.capture(example, dynamic=dynamic, output=inner)
    if example is None and not isinstance(model, ExportedProgram):
        raise InputError("example inputs are needed to capture the model")
    return capture(model, example, dynamic=dynamic)


def _same_port(captured: Captured, port: OutputPort) -> OutputPort:
    return next(p for p in captured.outputs if p.position == port.position)


def _follow(nodes: Nodes, rewritten: Rewritten) -> Nodes:
    """Say what nodes have become after one more rewriting; those that are gone drop out."""
    found = {node: rewritten.copies.get(now) for node, now in nodes.items()}
    return {node: now for node, now in found.items() if isinstance(now, fx.Node)}
