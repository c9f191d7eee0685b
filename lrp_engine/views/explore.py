"""Explore a model on one input: relevance at every layer, for several targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, fx

from ..capture.signature import as_call
from ..engine import Engine
from ..errors import InputError, LrpError
from ..explorer.scene import Layer, Scene, TargetScene, Traces
from ..graphs.nodes import origin, shape_text, target_name, value
from ..run.target import Position, Target
from ..run.traces import Tracer
from ..show.labels import Labels
from .inputs import describe_input
from .layouts import Reading
from .ledgers import ledger_line
from .places import Place, choose_places, find_reads, shorten
from .targets import NamedTarget, choose_targets
from .through import Explained, Nodes, trace_nodes

_ROOM = 6_000_000  # numbers of all traces together: 12 MB before they are compressed


@dataclass(frozen=True)
class Exploration:
    """A model's relevance at every layer, for the targets of one page; traces nodes on demand."""

    engine: Engine
    tracer: Tracer | None
    places: tuple[Place, ...]
    nodes: Nodes
    targets: tuple[NamedTarget, ...]
    explained: tuple[Explained, ...]
    labels: Labels
    leaves: Mapping[str, Any]
    untraced: str = ""

    def trace(self, target: int, nodes: Sequence[int]) -> Traces:
        """Trace relevance through nodes of one target's scene.

        Raises InputError if nothing can be traced, or there is no such target or node.
        """
        if self.tracer is None:
            raise InputError(self.untraced)
        if not 0 <= target < len(self.explained) or not all(
            0 <= node < self.nodes.count for node in nodes
        ):
            raise InputError(f"there is no target {target}, or a node of {list(nodes)}")
        amounts = trace_nodes(self.tracer, self.explained[target], self.nodes, nodes)
        return Traces(tuple(nodes), amounts)

    @cached_property
    def relevance(self) -> list[Tensor]:
        """The relevance of every node, (nodes,), per target."""
        return [self.nodes.amounts(e.explanation.relevance) for e in self.explained]

    def strongest(self, most: int) -> list[int]:
        """Return the nodes of most |R| within their layer, for any target, strongest first."""
        ranks = torch.zeros(self.nodes.count, dtype=torch.float64)
        for amounts in self.relevance:
            parts = []
            for reading, part in zip(
                self.nodes.readings.values(), self._by_layer(amounts), strict=True
            ):
                for some in torch.split(part.abs(), [reading.nodes - reading.units, reading.units]):
                    parts.append(some / some.max().clamp_min(1e-30) if len(some) else some)
            ranks = torch.maximum(ranks, torch.cat(parts))
        order = ranks.argsort(descending=True, stable=True)
        return [int(node) for node in order[:most] if ranks[node] > 0]

    def _sample_name(self) -> str:
        names, sample = self.labels.samples, self.nodes.sample
        return names[sample] if sample < len(names) else f"sample {sample}"

    def _by_layer(self, amounts: Tensor) -> tuple[Tensor, ...]:
        return torch.split(amounts, [reading.nodes for reading in self.nodes.readings.values()])

    def scene(self, *, traces: int = 100, ledger: bool = True) -> Scene:
        """Return what the page shows.

        Args:
            traces: So many nodes are traced beforehand, for each target.
            ledger: Compute the ledger of each target.
        """
        room = _ROOM // (self.nodes.count * len(self.targets))
        wanted = [] if self.tracer is None else self.strongest(min(traces, room))
        layers = self._layers()
        shown = describe_input(self.places, self.nodes, self.leaves, self.labels)
        first = self.targets[0]
        plan = self.engine.plan
        return Scene(
            **shown,
            title=first.question,
            subtitle=f"{plan.preset.name}, {self._sample_name()}",
            preset=plan.preset.name,
            layers=layers,
            targets=tuple(
                self._target(i, wanted, layers, ledger) for i in range(len(self.targets))
            ),
            unit=self.labels.unit,
            notes=(*self.labels.notes, *plan.captured.notes),
            untraced=self.untraced,
        )

    def _target(
        self, place: int, wanted: Sequence[int], layers: Sequence[Layer], ledger: bool
    ) -> TargetScene:
        named, explained = self.targets[place], self.explained[place].explanation
        return TargetScene(
            label=named.label,
            question=named.question,
            explained=float(explained.explained[self.nodes.sample]),
            probability=named.probability,
            relevance=self.relevance[place],
            ledger=ledger_line(explained.ledger, {layer.node for layer in layers})
            if ledger
            else None,
            traces=self.trace(place, wanted) if wanted else None,
        )

    def _layers(self) -> tuple[Layer, ...]:
        plan = self.engine.plan
        ports = {port.name: port.node for port in plan.sources}
        nodes = [ports[place.source] for place in self.places]
        rules = {a.node: a.rule_text() for a in plan.assignments}
        reads = find_reads(plan.captured, nodes)
        return tuple(
            _layer(place, node, self.nodes.readings[place.source], rules.get(node, ""), read)
            for place, node, read in zip(self.places, nodes, reads, strict=True)
        )


def _layer(
    place: Place, node: fx.Node, reading: Reading, rule: str, reads: tuple[int, ...]
) -> Layer:
    where = origin(node)
    return Layer(
        name=place.name,
        group=place.group,
        rows=reading.rows,
        columns=reading.columns,
        units=reading.units,
        unit=reading.unit,
        module=where.module,
        node=node.name,
        op=target_name(node).removeprefix("aten."),
        rule=rule,
        line=shorten(where.source),
        shape=shape_text(value(node)),
        reads=reads,
        pooled=reading.pooled,
    )


def explore(
    engine: Engine,
    inputs: Any,
    targets: Sequence[Target] | None = None,
    *,
    position: Position = None,
    sample: int = 0,
    top: int = 3,
    labels: Labels | None = None,
) -> Exploration:
    """Explain one sample at every layer of a model.

    Args:
        engine: An engine of the model; its preset is used, its sources are not.
        inputs: What the model is called with.
        targets: What to explain, as for `Engine.explain`. Default: the classes of largest output.
        position: Where in a sequence of outputs; by default the last position.
        sample: Which sample of the batch is shown.
        top: So many classes are chosen.
        labels: What words, classes and features are called.

    Raises:
        InputError: there is no such sample, or no layer that can be shown.
        TargetError: a target does not fit the output.
    """
    places = choose_places(engine.with_sources(None).plan)
    if not places:
        raise InputError("no input or module of this model has 2 to 5 axes, batch first")
    named = engine.with_sources([place.source for place in places])
    known = labels or Labels()
    forward, untraced = _prepare(named, inputs)
    chosen = choose_targets(forward.explained_output, targets, position, sample, top, known)
    explained = tuple(
        Explained(t.target, t.position, forward.explain(t.target, position=t.position))
        for t in chosen
    )
    relevance = explained[0].explanation.relevance
    readings = {p.source: Reading.of(p.layout, relevance[p.source][sample]) for p in places}
    leaves = named.captured.flatten_inputs(*as_call(inputs))
    names = [port.name for port in named.captured.inputs]
    return Exploration(
        engine=named,
        tracer=forward if isinstance(forward, Tracer) else None,
        places=tuple(places),
        nodes=Nodes(readings, sample),
        targets=chosen,
        explained=explained,
        labels=known,
        leaves=dict(zip(names, leaves, strict=True)),
        untraced=untraced,
    )


def _prepare(engine: Engine, inputs: Any) -> tuple[Any, str]:
    """Return a tracer; or, where nothing can be traced, a forward pass and the reason."""
    try:
        return engine.trace(inputs), ""
    except LrpError as error:
        return engine.forward(inputs), str(error)
