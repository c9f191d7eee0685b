"""Place checkpoints: cut the forward pass into segments, keep what crosses between them.

The relevance program recomputes a segment's values when it comes to it. With segments of equal
size, a model of n equal layers needs memory of the order of sqrt(n).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from torch import fx

from .costs import Costs, is_keepable
from .minimum_cut import ForwardReads


@dataclass(frozen=True)
class ForwardSequence:
    """The forward pass as a sequence of ops, and the bytes to keep at each place of it."""

    order: tuple[fx.Node, ...]
    promised: frozenset[fx.Node]
    constants: frozenset[fx.Node]
    costs: Costs

    @classmethod
    def of(cls, order: Sequence[fx.Node], reads: ForwardReads, costs: Costs) -> ForwardSequence:
        """Return the part of the forward pass that promises depend on."""
        ancestors = reads.find_ancestors()
        kept_order = tuple(n for n in order if n in ancestors)
        return cls(kept_order, frozenset(reads.promised), reads.constants, costs)

    @cached_property
    def position(self) -> dict[fx.Node, int]:
        """The place of each op in the sequence."""
        return {node: i for i, node in enumerate(self.order)}

    @cached_property
    def last_use(self) -> dict[fx.Node, int]:
        """The last place at which each value is read by another op of the sequence."""
        found: dict[fx.Node, int] = {}
        for i, node in enumerate(self.order):
            found |= dict.fromkeys((o for o in node.all_input_nodes if o in self.position), i)
        return found

    @cached_property
    def crossing_bytes(self) -> NDArray[np.float64]:
        """Bytes that cross after each op; infinite where something cannot be kept."""
        blocked = np.zeros(len(self.order) + 1)
        ends: dict[fx.Node, int] = {}
        starts: dict[fx.Node, int] = {}
        for node, last in self.last_use.items():
            first = self.position[node]
            if not is_keepable(node):
                blocked[first:last] += np.inf
                continue
            owner = self.costs.owner(node)
            starts[owner] = min(first, starts.get(owner, first))
            ends[owner] = max(last, ends.get(owner, last))
        differences = np.zeros(len(self.order) + 1)
        for owner, first in starts.items():
            differences[first] += self.costs.bytes(owner)
            differences[ends[owner]] -= self.costs.bytes(owner)
        return (np.cumsum(differences) + blocked)[:-1]

    @cached_property
    def promised_bytes(self) -> NDArray[np.int64]:
        """Bytes of promises made up to and including each op."""
        owners = dict.fromkeys(self.costs.owner(n) for n in self.order if n in self.promised)
        return np.cumsum([self.costs.bytes(n) if n in owners else 0 for n in self.order])

    def find_boundaries(self, segment: float) -> tuple[int, ...]:
        """Return places where little crosses, with about `segment` bytes of promises between."""
        found: list[int] = []
        start, before = 0, 0.0
        for i, total in enumerate(self.promised_bytes):
            if total - before <= segment or i == start:
                continue
            place = start + int(np.argmin(self.crossing_bytes[start:i][::-1]))
            place = i - 1 - (place - start)
            if not np.isfinite(self.crossing_bytes[place]):
                continue
            found.append(place)
            start, before = place + 1, float(self.promised_bytes[place])
        return tuple(found)

    def find_checkpoints(self, boundaries: Collection[int]) -> frozenset[fx.Node]:
        """Return the values that cross one of the boundaries."""
        places = np.array(sorted(boundaries))
        kept = set()
        for node, last in self.last_use.items():
            first = self.position[node]
            if np.searchsorted(places, first) < np.searchsorted(places, last):
                kept.add(node)
        return frozenset(kept)
