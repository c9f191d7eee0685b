"""Follow every input forward, to where integers and booleans enter the floating-point arithmetic.

A floating-point value that is computed from integers or booleans, and from nothing that carries
relevance, is an *entry*: rows looked up in a table, a one-hot vector, an image divided by 255.
Relevance can be reported there; `chosen_entries.py` decides at which entries it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum

import torch
from torch import Tensor, fx

from ..capture import Captured
from ..graphs.aten import READS_DATA
from ..graphs.nodes import holds_tensors, is_floating, value
from ..graphs.walk import upstream
from ..method.op import Lookup, Stop
from ..method.registry import Registry
from .uses import Use, Uses, is_boolean, uses_of

Origins = frozenset[str]


class Rank(IntEnum):
    """Ways for a number to enter the floating-point arithmetic, the clearest first."""

    LOOKED_UP = 0  # rows of a table, by integers of an input
    NUMBER = 1  # integers as numbers; rows by an index that was computed from floating point
    INDICATOR = 2  # booleans as numbers
    CHOICE = 3  # constants chosen by booleans


@dataclass(frozen=True)
class Entry:
    """A floating-point value computed from inputs through integers or booleans, by input name."""

    node: fx.Node
    origins: Origins
    rank: Rank


@dataclass
class EntryWalk:
    """Follow the values that depend on inputs, and note on which inputs each depends.

    `live` values can carry relevance; `lost` ones are floating-point, and relevance has ended
    before them. `numbers` are integers, `drawn` those of them that were computed from
    floating-point. `switches` are booleans, and integers that only booleans determine. `passes`
    holds the operands through which a live value passes relevance on, `factors` those of them that
    scale each other.
    """

    captured: Captured
    registry: Registry
    live: dict[fx.Node, Origins] = field(default_factory=dict)
    lost: dict[fx.Node, Origins] = field(default_factory=dict)
    numbers: dict[fx.Node, Origins] = field(default_factory=dict)
    switches: dict[fx.Node, Origins] = field(default_factory=dict)
    drawn: set[fx.Node] = field(default_factory=set)
    passes: dict[fx.Node, tuple[fx.Node, ...]] = field(default_factory=dict)
    factors: dict[fx.Node, tuple[fx.Node, ...]] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)

    def start(self) -> None:
        """Take every input for what its dtype says."""
        for port in self.captured.inputs:
            if isinstance(value(port.node), Tensor):
                kind = self.switches if is_boolean(port.node) else self.numbers
                kind = self.live if is_floating(port.node) else kind
                kind[port.node] = frozenset([port.name])

    def floating_inputs(self) -> Origins:
        """Return the names of the inputs that can carry relevance themselves."""
        return frozenset(p.name for p in self.captured.inputs if p.node in self.live)

    def visit(self, node: fx.Node) -> None:
        """Say of the result of an op what follows from its operands."""
        known = [n for n in node.all_input_nodes if self._knows(n)]
        if not known:
            return
        if not holds_tensors(node):
            # Otherwise a size, which says nothing of the entries.
            if node.target in READS_DATA or not any(map(holds_tensors, known)):
                self.switches[node] = self._origins(known)
            return
        uses = uses_of(node, self.registry, self.live.keys())
        counting = tuple(use for use in uses.each if self._knows(use.node))
        if not counting:
            return
        if is_floating(node):
            self._meet_floating(node, uses, counting)
        else:
            self._meet_integers(node, counting)

    def _meet_floating(self, node: fx.Node, uses: Uses, counting: tuple[Use, ...]) -> None:
        passing = tuple(u.node for u in counting if u.carries and u.node in self.live)
        ends = any(u.node in self.live or u.node in self.lost for u in counting)
        if passing:
            self.live[node] = self._origins(passing)
            self.passes[node] = passing
            self.factors[node] = tuple(n for n in uses.factors if n in passing)
        elif ends or isinstance(uses.op, Stop) or not isinstance(value(node), Tensor):
            self.lost[node] = self._origins(u.node for u in counting)
        else:
            self._enter(node, uses, counting)

    def _enter(self, node: fx.Node, uses: Uses, counting: tuple[Use, ...]) -> None:
        numbers = [u.node for u in counting if u.node in self.numbers]
        if numbers:
            indexed = all(u.chooses for u in counting) and self.drawn.isdisjoint(numbers)
            looked_up = indexed and self._is_table_lookup(node, uses)
            rank = Rank.LOOKED_UP if looked_up else Rank.NUMBER
        else:
            rank = Rank.CHOICE if all(u.chooses for u in counting) else Rank.INDICATOR
        origins = self._origins(numbers or [u.node for u in counting])
        self.entries.append(Entry(node, origins, rank))
        self.live[node] = origins

    def _is_table_lookup(self, node: fx.Node, uses: Uses) -> bool:
        """Return whether rows are learnt embeddings: those of a buffer may be rotary factors."""
        if isinstance(uses.op, Lookup):
            return True
        if uses.op is None or not uses.op.moves_entries:
            return False
        found = [n for n in upstream(node.all_input_nodes) if n.op == "get_attr"]
        tensors = (self.captured.tensors[str(n.target)] for n in found)
        return any(isinstance(t, torch.nn.Parameter) for t in tensors)

    def _meet_integers(self, node: fx.Node, counting: tuple[Use, ...]) -> None:
        numbers = [u.node for u in counting if u.node in self.numbers]
        floats = [u.node for u in counting if u.node in self.live or u.node in self.lost]
        if is_boolean(node) or not (numbers or floats):
            self.switches[node] = self._origins(u.node for u in counting)
            return
        self.numbers[node] = self._origins(numbers + floats)
        if floats or not self.drawn.isdisjoint(numbers):
            self.drawn.add(node)

    def _knows(self, node: fx.Node) -> bool:
        return any(node in kind for kind in self._kinds())

    def _origins(self, nodes: Iterable[fx.Node]) -> Origins:
        found = [kind[n] for n in nodes for kind in self._kinds() if n in kind]
        return frozenset().union(*found)

    def _kinds(self) -> tuple[dict[fx.Node, Origins], ...]:
        return (self.live, self.lost, self.numbers, self.switches)


def walk_inputs(captured: Captured, registry: Registry) -> EntryWalk:
    """Follow every input through the whole graph."""
    walk = EntryWalk(captured, registry)
    walk.start()
    for node in captured.graph.nodes:
        if node.op == "call_function":
            walk.visit(node)
    return walk
