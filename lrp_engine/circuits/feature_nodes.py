"""Nodes of a feature circuit: inputs, features and error terms of dictionaries, the output."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import NamedTuple

import torch
from torch import Tensor, fx

from ..errors import InputError
from ..graphs.walk import closure, inputs
from .circuit_model import CircuitModel
from .features import Feature, PlacedDictionary


class NodeKind(Enum):
    """The kinds of nodes. REST stands for all features of a dictionary that are no nodes."""

    INPUT = "input"
    FEATURE = "feature"
    REST = "rest"
    ERROR = "error"
    OUTPUT = "output"


@dataclass(frozen=True)
class FeatureNode:
    """One node: a feature by its `index` at a site, or what else is there."""

    site: str
    kind: NodeKind
    index: int | None = None

    @property
    def name(self) -> str:
        """`blocks.2.hook_resid_pre/f17`, `.../rest`, `.../error`, or the name of an embedding."""
        if self.kind in (NodeKind.INPUT, NodeKind.OUTPUT):
            return self.site
        part = f"f{self.index}" if self.kind is NodeKind.FEATURE else self.kind.value
        return f"{self.site}/{part}"


@dataclass(frozen=True)
class NodeGroup:
    """A dictionary with its nodes: features that are nodes, the rest if any, the error term."""

    placed: PlacedDictionary
    indices: tuple[int, ...]
    width: int

    @property
    def has_rest(self) -> bool:
        """Tell whether some features are no nodes."""
        return len(self.indices) < self.width

    @property
    def nodes(self) -> tuple[FeatureNode, ...]:
        """Its nodes, in the order of the rows and columns of edges."""
        site = self.placed.site.name
        found = [FeatureNode(site, NodeKind.FEATURE, i) for i in self.indices]
        found += [FeatureNode(site, NodeKind.REST)] * self.has_rest
        return (*found, FeatureNode(site, NodeKind.ERROR))

    def membership(self) -> Tensor:
        """Return (node without the error term, feature): 1 where a feature belongs to a node."""
        features = torch.zeros(len(self.indices) + self.has_rest, self.width)
        features[range(len(self.indices)), list(self.indices)] = 1
        if self.has_rest:
            features[-1] = 1 - features[:-1].sum(0)
        return features


class Source(NamedTuple):
    """Name what a dictionary or the output reads: an embedding, or another dictionary's site."""

    node: fx.Node
    is_input: bool


@dataclass(frozen=True)
class FeatureGraph:
    """All nodes of a feature circuit in the order of the forward pass, and which edges exist.

    `possible` is (writer, reader). An edge is a path that passes no other dictionary. An embedding
    at which there is a dictionary is read by that one alone.
    """

    model: CircuitModel
    groups: tuple[NodeGroup, ...]
    writers: tuple[FeatureNode, ...]
    readers: tuple[FeatureNode, ...]
    possible: Tensor

    @property
    def stops(self) -> frozenset[fx.Node]:
        """Return the nodes where dictionaries write: no path leads past them."""
        return frozenset(g.placed.site.node for g in self.groups)

    def starts_of(self, group: NodeGroup | None) -> tuple[fx.Node, ...]:
        """Return the values that a dictionary, or the output (None), is computed from."""
        if group is None:
            return (self.model.output.node,)
        return tuple(dict.fromkeys([group.placed.site.node, group.placed.reads.node]))

    def sources_of(self, group: NodeGroup | None) -> tuple[Source, ...]:
        """Return all that a dictionary, or the output, reads."""
        own = None if group is None else group.placed.site.node
        return _sources(self.model, self.starts_of(group), self.stops, own)


def feature_graph(
    model: CircuitModel,
    placed: Sequence[PlacedDictionary],
    widths: Sequence[int],
    features: Iterable[Feature],
) -> FeatureGraph:
    """Return the graph whose nodes are some features, all error terms, the inputs and the output.

    Args:
        model: the model.
        placed: dictionaries with their places.
        widths: how many features each of them has.
        features: those that are nodes; the others of a dictionary are one node.

    Raises:
        InputError: a feature does not exist.
    """
    order = {node: i for i, node in enumerate(model.graph.graph.nodes)}
    chosen = _by_site(placed, widths, features)
    groups = [
        NodeGroup(p, chosen[p.site.name], width) for p, width in zip(placed, widths, strict=True)
    ]
    groups.sort(key=lambda g: order[g.placed.site.node])
    embedded = model.choose("embed")
    inner = [node for g in groups for node in g.nodes]
    writers = (*(FeatureNode(s.name, NodeKind.INPUT) for s in embedded), *inner)
    readers = (*inner, FeatureNode(model.output.name, NodeKind.OUTPUT))
    graph = FeatureGraph(model, tuple(groups), writers, readers, torch.empty(0))
    at = [*((s.node, True) for s in embedded)]
    at += [(g.placed.site.node, False) for g in groups for _ in g.nodes]
    columns = list(_columns(graph))
    return replace(graph, possible=torch.tensor([[w in seen for seen in columns] for w in at]))


def _columns(graph: FeatureGraph) -> Iterator[tuple[Source, ...]]:
    """Yield the sources of every reader: of a transcoder, features read less than the error."""
    for g in graph.groups:
        place, read = g.placed.site.node, g.placed.reads.node
        own = place if read is place else None
        features = _sources(graph.model, (read,), graph.stops, own)
        yield from [features] * (len(g.nodes) - 1)
        yield graph.sources_of(g)
    yield graph.sources_of(None)


def _by_site(
    placed: Sequence[PlacedDictionary], widths: Sequence[int], features: Iterable[Feature]
) -> dict[str, tuple[int, ...]]:
    """Sort features by site; error terms among them are nodes anyway."""
    found: dict[str, dict[int, None]] = {p.site.name: {} for p in placed}
    limits = {p.site.name: width for p, width in zip(placed, widths, strict=True)}
    for feature in features:
        if feature.site not in found:
            raise InputError(f"{feature.name}: no dictionary is at {feature.site!r}")
        if feature.index is None:
            continue
        if not 0 <= feature.index < limits[feature.site]:
            raise InputError(
                f"{feature.name}: the dictionary has {limits[feature.site]} features, from 0"
            )
        found[feature.site][feature.index] = None
    return {site: tuple(indices) for site, indices in found.items()}


def _sources(
    model: CircuitModel, starts: Iterable[fx.Node], stops: frozenset[fx.Node], own: fx.Node | None
) -> tuple[Source, ...]:
    """Return the embeddings and dictionaries that lead to `starts`; `own` is walked past."""
    ends = stops - {own}
    reached = closure(starts, inputs, stop=ends.__contains__)
    embedded = (Source(n, True) for n in model.embeddings if n in reached and n not in ends)
    before = (Source(n, False) for n in model.graph.graph.nodes if n in ends and n in reached)
    return (*embedded, *before)
