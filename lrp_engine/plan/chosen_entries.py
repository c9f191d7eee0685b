"""Decide which entries are sources of relevance, and which values only control others.

An entry that contributes a summand somewhere on a way to the output is a source. One that on every
way only scales what others contribute is a control: an attention mask, through the softmax whose
weights scale values; the mask of a pooling; the length that a sum is divided by; the factors of a
rotary embedding.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from torch import fx

from .entries import Entry, EntryWalk, Rank


@dataclass(frozen=True)
class ChosenEntries:
    """The entries that are sources, in the graph's order, and those that only control others."""

    sources: tuple[Entry, ...]
    controls: frozenset[fx.Node]


def choose_entries(walk: EntryWalk, output: fx.Node) -> ChosenEntries:
    """Decide for every entry on a way to the output.

    Those that look up rows are sources at once. The others are first held against all others, then
    against the sources found so far, the clearest ranks first.
    """
    judge = _Judge.of(walk, output)
    chosen = [entry for entry in walk.entries if entry.rank is Rank.LOOKED_UP]
    others = [entry for entry in walk.entries if entry.rank is not Rank.LOOKED_UP]
    sure = [e for e in others if e.rank < Rank.CHOICE and judge.contributes(e, judge.everything())]
    chosen += sure
    for rank in (Rank.NUMBER, Rank.INDICATOR, Rank.CHOICE):
        against = judge.bits_of(e.node for e in chosen) | judge.inputs
        left = [e for e in others if e.rank is rank and e not in chosen]
        explained = walk.floating_inputs().union(*(e.origins for e in chosen))
        if rank is Rank.CHOICE:
            left = [e for e in left if explained.isdisjoint(e.origins)]
        chosen += [e for e in left if judge.contributes(e, against)]
    ordered = tuple(entry for entry in walk.entries if entry in chosen)
    return ChosenEntries(ordered, frozenset(e.node for e in others if e not in chosen))


@dataclass
class _Judge:
    """Tells whether an entry contributes a summand; `reach` has one bit per source of a value."""

    walk: EntryWalk
    output: fx.Node
    bits: Mapping[fx.Node, int]
    inputs: int
    reach: dict[fx.Node, int] = field(default_factory=dict)

    @classmethod
    def of(cls, walk: EntryWalk, output: fx.Node) -> _Judge:
        ports = [port.node for port in walk.captured.inputs if port.node in walk.live]
        starts = [*ports, *(entry.node for entry in walk.entries)]
        bits = {node: 1 << i for i, node in enumerate(starts)}
        judge = cls(walk, output, bits, sum(bits[node] for node in ports), dict(bits))
        for node, passing in walk.passes.items():
            judge.reach[node] = judge.bits_of(passing, judge.reach)
        return judge

    def bits_of(self, nodes: Iterable[fx.Node], table: Mapping[fx.Node, int] | None = None) -> int:
        """Return the union of the bits of nodes."""
        found = 0
        for node in nodes:
            found |= (self.bits if table is None else table).get(node, 0)
        return found

    def everything(self) -> int:
        """Return the bits of all sources that there could be."""
        return self.bits_of(self.bits)

    def contributes(self, entry: Entry, others: int) -> bool:
        """Return whether a way leads to the output on which it does not merely scale others."""
        others &= ~self.bits[entry.node]
        reached = {entry.node}
        for node, passing in self.walk.passes.items():
            hit = [n for n in passing if n in reached]
            if hit and not self._scales(node, hit, reached, others):
                reached.add(node)
        return self.output in reached

    def _scales(
        self, node: fx.Node, hit: list[fx.Node], reached: set[fx.Node], others: int
    ) -> bool:
        factors = self.walk.factors[node]
        foreign = (n for n in factors if n not in reached and self.reach.get(n, 0) & others)
        return all(n in factors for n in hit) and any(foreign)
