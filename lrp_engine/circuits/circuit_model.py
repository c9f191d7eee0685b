"""CircuitModel: a prepared model with its components, and the runs that scores are made from."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, fx

from ..capture import Captured, OutputPort
from ..capture.ambient import leave_modes
from ..errors import InputError
from ..graphs.nodes import value
from ..graphs.randomness import describe_draws
from ..graphs.tracing_lock import TRACING, one_at_a_time
from ..method.op import Op
from ..method.rule import Rule
from ..plan.influence import InputUse
from ..plan.prepare import ModelRecipe, ModelSource, PlanWithNodes, PreparedModel, prepare
from ..plan.sources import resolve_sources
from ..preset.preset import Preset
from ..programs.program import build_forward_only
from ..propagate.trace_cache import TraceCache
from ..run.inputs import enter_run, flatten_inputs, guard_run
from ..run.proof import Proof
from ..run.randomness import seeded
from .blocks import ModelBlocks, find_blocks
from .node_programs import NodePrograms, activation_program, coefficient_program, start_at
from .sites import Site, choose_sites, find_sites

T = TypeVar("T")

_PROBED = ("gradient", "relp")


class CircuitModel:
    """A model whose components can be scored, patched and cut out. The model stays untouched.

    It is prepared as `Engine` prepares it: captured once as a graph of ATen ops, proved against the
    model where the capture may not hold, planned under any preset. Residual stream, attention and
    MLP blocks, heads and neurons are recognised from what the ops do, whatever the modules are
    called; every other place is reached by its module path.

    What a model draws at random is drawn with `seed`, and held: the clean, the corrupted and the
    patched runs of a batch have the same numbers.

    Args:
        model: a torch module in eval mode, an ExportedProgram, a function of tensors, or the path
            of an ONNX file.
        example_inputs: what the model is called with: a tensor, a tuple, or a mapping.
        output: name of the output that metrics take; default `logits`, else the first.
        rules: a user's own `Op` and `Rule` records.
        seed: of the random numbers that the model draws, if it draws any.

    Raises:
        CaptureError: torch cannot capture the model.
        InputError: the example inputs do not fit, or the model draws in a way that cannot be
            repeated.
        CoverageError: an op has no rule and cannot be decomposed.

    Example:
        >>> from lrp_engine.demo.ioi import load_ioi_model, ioi_pairs
        >>> pairs = ioi_pairs(count=4)
        >>> model = CircuitModel(load_ioi_model(), pairs.clean)
        >>> model.structure.layers
        4
        >>> [site.name for site in model.choose("mlp_out")][:2]
        ['blocks.0.hook_mlp_out', 'blocks.1.hook_mlp_out']
    """

    @one_at_a_time
    def __init__(
        self,
        model: ModelSource,
        example_inputs: Any = None,
        *,
        output: str | None = None,
        rules: Iterable[Op | Rule] = (),
        seed: int = 0,
    ) -> None:
        prepared = prepare(model, example_inputs, output=output, rules=rules)
        _refuse_draws(prepared.captured)
        for name in _PROBED:
            prepared = prepared.decompose_for(prepared.load_preset(name))
            if prepared.captured.draws:
                prepared.plan(prepared.load_preset(name))  # refuses draws that depend on values
        self.captured: Captured = prepared.captured
        self.seed = seed
        self._looked_up = _look_up_program(prepared)
        started, embeddings = _start_at_embeddings(prepared)
        self._prepared: PreparedModel = started
        self.embeddings: tuple[fx.Node, ...] = embeddings
        self._proof = Proof()
        self.structure: ModelBlocks = find_blocks(self.graph, prepared.registry, self.embeddings)
        self.sites: tuple[Site, ...] = find_sites(self.graph, self.structure)
        self.traces: TraceCache = TraceCache()
        self._programs: dict[Hashable, Any] = {}

    def __reduce__(self) -> tuple[object, ...]:
        """Return what the model was made of: another process captures it again."""
        return _restore, (type(self), self._prepared.recipe, self.seed)

    @property
    def graph(self) -> Captured:
        """The captured graph with embeddings as inputs; sites are nodes of it."""
        return self._prepared.captured

    @property
    def output(self) -> OutputPort:
        """The output that metrics take."""
        return self._prepared.output

    @property
    def inputs(self) -> tuple[InputUse, ...]:
        """The use of each input of `graph` under RelP: source, control, or unreached, and why."""

        def find() -> tuple[InputUse, ...]:
            drawn = {node.name for node in self.captured.draws}
            found = self._prepared.plan(self._prepared.load_preset("relp")).influence.inputs
            return tuple(use for use in found if use.name not in drawn)

        return self.remember("inputs", find)

    def choose(self, components: Iterable[str] | str) -> tuple[Site, ...]:
        """Return sites by kind (`z`), hook name, module path or glob; raise SourceError."""
        return choose_sites(self.sites, self.graph, components)

    def leaves(self, inputs: Any) -> list[Tensor]:
        """Return the inputs of `graph` for one call: the model's own, embeddings, what is drawn.

        Raises InputError if the inputs do not fit the capture, or the model computes something else
        on them than what was captured.
        """
        with enter_run(self.captured), torch.no_grad():
            leaves = flatten_inputs(self.captured, inputs)
            with guard_run(self.captured, leaves):
                with seeded(self.captured, self.seed):
                    self._proof.check(self.captured, leaves, self._forward_alone)
                with seeded(self.captured, self.seed):
                    return [*leaves, *self._looked_up(*leaves)]

    def embedding_places(self) -> list[int]:
        """Return which of `leaves` are the embeddings."""
        nodes = [port.node for port in self.graph.inputs]
        return [nodes.index(node) for node in self.embeddings]

    def activations(
        self, nodes: Sequence[fx.Node], leaves: Sequence[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        """Return (output, value of each node) of one forward pass."""
        program = self.remember(
            ("activations", tuple(nodes)),
            lambda: activation_program(self.graph, [self.output.node, *nodes]),
        )
        with leave_modes(), torch.no_grad():
            output, *found = program(*leaves)
        return output, found

    def plan_at(self, preset: str | Path | Preset, nodes: Sequence[fx.Node]) -> PlanWithNodes:
        """Plan relevance under a preset from the output to the embeddings and to `nodes`.

        The embeddings are always sources: which operands carry relevance, and so how a product is
        split, must not depend on where the coefficient is read.
        """
        wanted = dict.fromkeys([*self.embeddings, *nodes])
        return self._prepared.plan_at(self._prepared.load_preset(preset), wanted)

    def coefficients(self, preset: str | Path | Preset, nodes: Sequence[fx.Node]) -> NodePrograms:
        """Return the programs that give coefficients at `nodes` under a preset, written once."""
        chosen = self._prepared.load_preset(preset)
        return self.remember(
            ("coefficients", chosen.hash, tuple(nodes)),
            lambda: coefficient_program(self.plan_at(chosen, nodes), nodes, self.traces),
        )

    def remember(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return what `make` made when it was first asked for under this key."""
        with TRACING:
            if key not in self._programs:
                self._programs[key] = make()
            found: T = self._programs[key]
            return found

    def describe(self) -> Iterator[tuple[str, str, str, str]]:
        """Yield (hook name, short name, the model's own name, what a score is per) of each site."""
        for site in self.sites:
            yield site.name, site.short_name(), site.own_name, site.layout.value

    def _forward_alone(self, *leaves: Any) -> Sequence[Any]:
        program = self.remember("forward", lambda: build_forward_only(self.captured))
        found: Sequence[Any] = program(*leaves)
        return found


def _refuse_draws(captured: Captured) -> None:
    """Raise InputError if what the model draws cannot be held while its parts are patched."""
    parts = [node for node in captured.draws if not isinstance(value(node), Tensor)]
    if parts:
        raise InputError(
            f"the model draws random numbers inside of an op ({describe_draws(parts)}), so the two"
            " runs cannot be given the same ones. Switch the noise off, or give the numbers to the"
            " model as an input."
        )


def _restore(kind: type[CircuitModel], made_of: ModelRecipe, seed: int) -> CircuitModel:
    options: dict[str, Any] = {"output": made_of.output, "rules": made_of.rules, "seed": seed}
    return kind(made_of.model, made_of.example_inputs, **options)


def _look_ups(prepared: PreparedModel) -> tuple[fx.Node, ...]:
    """Return where each input enters the arithmetic: itself, or the rows that it looks up."""
    output = prepared.output.node
    sources = resolve_sources(prepared.captured, prepared.registry, None, output)
    return tuple(source.node for source in sources.ports)


def _given(prepared: PreparedModel) -> list[fx.Node]:
    """Return what is computed before the graph that scores walk: rows looked up, and draws."""
    inputs = {port.node for port in prepared.captured.inputs}
    looked_up = [node for node in _look_ups(prepared) if node not in inputs]
    return [*looked_up, *prepared.captured.draws]


def _look_up_program(prepared: PreparedModel) -> fx.GraphModule:
    """Write the program from the model's inputs to what is looked up with them, or drawn."""
    return activation_program(prepared.captured, _given(prepared))


def _start_at_embeddings(prepared: PreparedModel) -> tuple[PreparedModel, tuple[fx.Node, ...]]:
    """Make looked-up embeddings and draws inputs of the graph: a path between runs can be walked.

    Returns the model on that graph, and in it the node of every embedding and floating input.
    """
    given = _given(prepared)
    if not given:
        return prepared, _look_ups(prepared)
    started, copies = start_at(prepared.captured, given)
    now = (copies[node] for node in _look_ups(prepared))
    return prepared.on(started), tuple(node for node in now if isinstance(node, fx.Node))
