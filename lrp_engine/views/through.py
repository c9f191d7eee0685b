"""Trace relevance through single nodes: cells and units of layers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..results.explanation import Explanation
from ..run.target import Position, Target
from ..run.traces import Tracer
from .layouts import Reading

_AT_ONCE = 2**24  # entries of one source's coefficients that travel together


@dataclass(frozen=True)
class Explained:
    """One target with its explanation."""

    target: Target
    position: Position
    explanation: Explanation


@dataclass(frozen=True)
class Nodes:
    """The nodes of all layers, numbered through: layer by layer, cells before units.

    `readings` are those of each source, in the order of the layers; `sample` is the place in the
    batch.
    """

    readings: Mapping[str, Reading]
    sample: int

    @property
    def count(self) -> int:
        """The number of nodes."""
        return sum(reading.nodes for reading in self.readings.values())

    def find(self, node: int) -> tuple[str, int]:
        """Return the source that a node belongs to, and its number there."""
        for source, reading in self.readings.items():
            if node < reading.nodes:
                return source, node
            node -= reading.nodes
        raise IndexError(node)

    def amounts(self, relevance: Mapping[str, Tensor]) -> Tensor:
        """Return the relevance of every node, (nodes,); 0 where a source has none."""
        return torch.cat(
            [
                reading.amounts(relevance[source][self.sample])
                if source in relevance
                else torch.zeros(reading.nodes, dtype=torch.float64)
                for source, reading in self.readings.items()
            ]
        )

    def mask(self, like: Tensor, source: str, node: int) -> Tensor:
        """Return 1 at the entries of one node of a source, in the shape of the whole batch."""
        mask = torch.zeros_like(like)
        mask[self.sample] = self.readings[source].mask(like[self.sample], node)
        return mask


def trace_nodes(
    tracer: Tracer, explained: Explained, nodes: Nodes, wanted: Sequence[int]
) -> Tensor:
    """Return, for each wanted node, the relevance of every node that passes through it.

    Nodes nearer to the input get what comes from it, nodes nearer to the output what went to it.
    The result is (wanted, nodes), in the unit of the explained number.
    """
    whole = explained.explanation
    by_source: dict[str, list[int]] = defaultdict(list)
    for number, node in enumerate(wanted):
        by_source[nodes.find(node)[0]].append(number)
    found = torch.zeros(len(wanted), nodes.count, dtype=torch.float64)
    masks: list[dict[str, Tensor]] = []
    for source, numbers in by_source.items():
        for number in numbers:
            like = whole.relevance[source]
            masks.append({source: nodes.mask(like, source, nodes.find(wanted[number])[1])})
        alone = [mask[source] for mask in masks[-len(numbers) :]]
        found[numbers] = torch.stack(
            [nodes.amounts(passed) for passed in _onward(tracer, whole, source, alone)]
        )
    order = [number for numbers in by_source.values() for number in numbers]
    before = tracer.backward(whole, explained.target, explained.position, masks)
    for number, mask, split in zip(order, masks, before, strict=True):
        later = {source: r for source, r in split.items() if source not in mask}
        found[number] += nodes.amounts(later)
    return found


def _onward(
    tracer: Tracer, whole: Explanation, source: str, masks: Sequence[Tensor]
) -> list[dict[str, Tensor]]:
    if source not in tracer.passing:
        return [{source: whole.relevance[source] * mask} for mask in masks]
    c = whole.coefficient[source]
    return tracer.onward(source, [c * mask for mask in masks], max(1, _AT_ONCE // c.numel()))
