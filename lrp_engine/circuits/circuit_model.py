"""CircuitModel: a captured model with its components, and the runs that scores are made from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx, nn

from ..canonicalise import canonicalise
from ..capture import Captured, OutputPort, capture
from ..capture.signature import as_call
from ..errors import InputError, TargetError
from ..method.op import Op
from ..method.registry import Registry, standard
from ..method.rule import Rule
from ..plan.assign import assign
from ..plan.plan import Plan, SourcePort
from ..plan.sources import resolve_sources
from ..presets.preset import Preset
from ..presets.preset_file import load
from ..propagate.trace_cache import Cache
from ..run import validate
from .blocks import Structure, read_structure
from .node_programs import (
    Coefficients,
    activation_program,
    coefficient_program,
    covered,
    start_at,
)
from .sites import Site, choose, find_sites

_PROBED = ("gradient", "relp")


class CircuitModel:
    """A model whose components can be scored, patched and cut out. The model stays untouched.

    It is captured once as a graph of ATen ops. Residual stream, attention and MLP blocks, heads and
    neurons are recognised from what the ops do, whatever the modules are called; every other
    place is reached by its module path.

    Args:
        model: a torch module in eval mode, or a function of tensors.
        example_inputs: what the model is called with: a tensor, a tuple, or a mapping.
        output: name of the output that metrics take; default `logits`, else the first.
        rules: a user's own `Op` and `Rule` records.

    Raises:
        CaptureError, InputError; CoverageError for an op that no rule serves.

    Example:
        >>> from lrp_engine.demo.ioi import load_ioi_model, ioi_pairs
        >>> pairs = ioi_pairs(count=4)
        >>> model = CircuitModel(load_ioi_model(), pairs.clean)
        >>> model.structure.layers
        4
        >>> [site.name for site in model.choose("mlp_out")][:2]
        ['blocks.0.hook_mlp_out', 'blocks.1.hook_mlp_out']
    """

    def __init__(
        self,
        model: nn.Module | Any,
        example_inputs: Any,
        *,
        output: str | None = None,
        rules: Iterable[Op | Rule] = (),
    ) -> None:
        self.registry: Registry = standard().with_entries(rules) if rules else standard()
        captured = canonicalise(capture(model, example_inputs, dynamic=True), self.registry)
        for name in _PROBED:
            captured = covered(captured, partial(self._plan, name, output))
        self.captured: Captured = captured
        self._lookups = tuple(s.node for s in self._sources(captured))
        self._looked_up = activation_program(captured, self._lookups)
        inputs = [port.node for port in captured.inputs]
        integer = [node for node in self._lookups if node not in inputs]
        self.graph, started = start_at(captured, integer) if integer else (captured, ())
        self._integer = [self._lookups.index(node) for node in integer]
        floating = [p.node for p in self.graph.inputs if p.node not in started]
        self.embeddings = tuple(
            started[integer.index(node)] if node in integer else floating[inputs.index(node)]
            for node in self._lookups
        )
        self.output = output_port(self.graph, output)
        self.structure: Structure = read_structure(self.graph, self.registry, self.embeddings)
        self.sites: tuple[Site, ...] = find_sites(self.graph, self.structure)
        self.traces: Cache = {}
        self._programs: dict[Any, Any] = {}

    def choose(self, components: Iterable[str] | str) -> tuple[Site, ...]:
        """Sites by kind (`z`), hook name or glob, module path or glob. Raises SourceError."""
        return choose(self.sites, self.graph, components)

    def leaves(self, inputs: Any) -> list[Tensor]:
        """The inputs of `graph` for one call: the model's own leaves, then embeddings.

        Raises InputError if the inputs do not fit the capture.
        """
        args, kwargs = as_call(inputs)
        try:
            leaves = self.captured.flatten_inputs(args, kwargs)
        except ValueError as error:
            raise InputError(str(error)) from error
        validate.inputs(self.captured, leaves)
        with torch.no_grad(), validate.at_run_time(self.captured, leaves):
            found = self._looked_up(*leaves)
        return [*leaves, *(found[i] for i in self._integer)]

    def embedding_places(self) -> list[int]:
        """Which of `leaves` are the embeddings."""
        nodes = [port.node for port in self.graph.inputs]
        return [nodes.index(node) for node in self.embeddings]

    def activations(
        self, nodes: Sequence[fx.Node], leaves: Sequence[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        """(output, value of each node) of one forward pass."""
        key = ("activations", tuple(nodes))
        if key not in self._programs:
            self._programs[key] = activation_program(self.graph, [self.output.node, *nodes])
        with torch.no_grad():
            output, *found = self._programs[key](*leaves)
        return output, found

    def coefficients(self, preset: str | Preset, nodes: Sequence[fx.Node]) -> Coefficients:
        """The programs that give coefficients at `nodes` under a preset, written once."""
        chosen = load(preset, self.registry)
        key = (chosen.hash, tuple(nodes))
        if key not in self._programs:
            self._programs[key] = coefficient_program(
                self.graph,
                self.registry,
                chosen,
                self.output,
                self.embeddings,
                nodes,
                self.traces,
            )
        found: Coefficients = self._programs[key]
        return found

    def remember(self, key: Any, make: Any) -> Any:
        """A program that is written once per model."""
        if key not in self._programs:
            self._programs[key] = make()
        return self._programs[key]

    def describe(self) -> Iterator[tuple[str, str, str, str]]:
        """(hook name, short name, the model's own name, what a score is per) of every site."""
        for site in self.sites:
            yield site.name, site.short(), site.own, site.layout.value

    def _sources(self, captured: Captured) -> tuple[SourcePort, ...]:
        return resolve_sources(captured, self.registry, None)

    def _plan(self, preset: str, output: str | None, captured: Captured) -> Plan:
        chosen = load(preset, self.registry)
        port = output_port(captured, output)
        return assign(captured, chosen, self.registry, self._sources(captured), port)


def output_port(captured: Captured, name: str | None) -> OutputPort:
    """The output that metrics take: by name; default `logits` if there is one, else the first.

    Raises TargetError if there is no such floating-point output.
    """
    ports = [p for p in captured.outputs if p.node.meta["val"].dtype.is_floating_point]
    known = [p.name for p in ports]
    wanted = name or ("logits" if "logits" in known else known[0] if known else "")
    for port in ports:
        if port.name == wanted:
            return port
    raise TargetError(f"no floating-point output {wanted!r}; there is {', '.join(known) or 'none'}")
