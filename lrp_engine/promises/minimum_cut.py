"""Minimum cut: which values to keep so that bytes kept and work done again cost least together."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from torch import fx

from .costs import Costs, is_keepable, is_random

_LARGEST = 2**30


@dataclass(frozen=True)
class Crossing:
    """What the relevance program reads of the forward pass; constants need no keeping at all."""

    read: tuple[fx.Node, ...]
    constants: frozenset[fx.Node]

    @cached_property
    def asked(self) -> tuple[fx.Node, ...]:
        """The values read that are no constants."""
        return tuple(node for node in self.read if node not in self.constants)

    def again(self, kept: Collection[fx.Node]) -> frozenset[fx.Node]:
        """All that must be computed again if only `kept` is kept."""
        found: set[fx.Node] = set()
        stack = [node for node in self.read if node not in kept]
        while stack:
            node = stack.pop()
            if node not in found and node.op != "placeholder":
                found.add(node)
                stack += [operand for operand in node.all_input_nodes if operand not in kept]
        return frozenset(found)

    def above(self) -> frozenset[fx.Node]:
        """All values that the asked ones can be computed from, constants and inputs left out."""
        return frozenset(n for n in self.again(()) if n not in self.constants)

    def work(self, kept: Collection[fx.Node], costs: Costs) -> float:
        """The work done again."""
        return sum(costs.work(n) for n in self.again(kept) if n not in self.constants)


@dataclass
class _Network:
    """Each value is a pair of vertices, one in front of keeping it and one behind."""

    numbers: dict[fx.Node, int]
    heads: list[int] = field(default_factory=list)
    tails: list[int] = field(default_factory=list)
    capacities: list[float] = field(default_factory=list)

    @property
    def source(self) -> int:
        return 2 * len(self.numbers)

    def front(self, node: fx.Node) -> int:
        return 2 * self.numbers[node]

    def back(self, node: fx.Node) -> int:
        return 2 * self.numbers[node] + 1

    def edge(self, tail: int, head: int, capacity: float) -> None:
        if capacity > 0:
            self.tails.append(tail)
            self.heads.append(head)
            self.capacities.append(capacity)

    def cut(self) -> np.ndarray:
        """Which vertices lie on the source's side of a minimum cut."""
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import breadth_first_order, maximum_flow

        size = self.source + 2
        capacities = np.array(self.capacities)
        finite = np.isfinite(capacities)
        unit = max(1.0, float(capacities[finite].sum()) / _LARGEST)
        whole = np.where(finite, np.ceil(np.minimum(capacities, 1e300) / unit), _LARGEST)
        whole = np.minimum(whole, _LARGEST).astype(np.int32)
        graph = csr_array((whole, (self.tails, self.heads)), shape=(size, size))
        rest = graph - maximum_flow(graph, self.source, self.source + 1).flow
        rest.data = np.maximum(rest.data, 0)
        rest.eliminate_zeros()
        reached = breadth_first_order(rest, self.source, return_predecessors=False)
        side = np.zeros(size, dtype=bool)
        side[reached] = True
        return side


def minimum_cut(crossing: Crossing, costs: Costs, price: float) -> frozenset[fx.Node]:
    """The values to keep at least bytes kept + price * work done again.

    A random op is never computed again. Inputs are free.
    """
    # In the order of the graph, so that equal cuts come out equal.
    above = sorted(crossing.above())
    network = _Network({node: i for i, node in enumerate(above)})
    sink = network.source + 1
    for node in above:
        # Of several views, the tensor itself is the one to keep.
        view = costs.owner(node) is not node
        keep = max(1, costs.keeping(node)) + view if is_keepable(node) else np.inf
        again = np.inf if is_random(node) else price * costs.work(node)
        network.edge(network.front(node), network.back(node), keep)
        network.edge(network.source, network.front(node), again)
        for operand in node.all_input_nodes:
            if operand in network.numbers:
                network.edge(network.back(operand), network.front(node), np.inf)
    for node in crossing.asked:
        if node in network.numbers:
            network.edge(network.back(node), sink, np.inf)
    if not network.capacities:
        return frozenset()
    side = network.cut()
    return frozenset(n for n in above if side[network.front(n)] and not side[network.back(n)])


def must_be_kept(nodes: Iterable[fx.Node]) -> frozenset[fx.Node]:
    """Random values: computing them again would give others."""
    found = set()
    for node in nodes:
        if is_random(node):
            found |= {node} if is_keepable(node) else set(node.users)
    return frozenset(found)
