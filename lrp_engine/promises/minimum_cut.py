"""Choose the values to keep by a minimum cut: bytes kept plus recomputed work cost least."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from torch import fx

from ..graphs.randomness import is_random
from ..graphs.walk import closure
from .costs import Costs, is_keepable

_LARGEST = 2**30


@dataclass(frozen=True)
class ForwardReads:
    """The forward values that the relevance program reads. Constants need not be kept at all."""

    read: tuple[fx.Node, ...]
    constants: frozenset[fx.Node]

    @cached_property
    def promised(self) -> tuple[fx.Node, ...]:
        """The values read that are not constants."""
        return tuple(node for node in self.read if node not in self.constants)

    def find_recomputed(self, kept: Collection[fx.Node]) -> frozenset[fx.Node]:
        """Return all values that must be computed again if only `kept` is kept."""

        def missing(nodes: Iterable[fx.Node]) -> list[fx.Node]:
            return [n for n in nodes if n not in kept and n.op != "placeholder"]

        return frozenset(closure(missing(self.read), lambda n: missing(n.all_input_nodes)))

    def find_ancestors(self) -> frozenset[fx.Node]:
        """Return all values that the promised ones depend on, constants and inputs left out."""
        return frozenset(n for n in self.find_recomputed(()) if n not in self.constants)

    def recomputed_work(self, kept: Collection[fx.Node], costs: Costs) -> float:
        """Return the work done a second time if only `kept` is kept."""
        again = self.find_recomputed(kept)
        return sum(costs.work(n) for n in again if n not in self.constants)


@dataclass
class _Network:
    """A flow network: each value is a pair of vertices, the edge between them costs its keeping."""

    numbers: dict[fx.Node, int]
    heads: list[int] = field(default_factory=list)
    tails: list[int] = field(default_factory=list)
    capacities: list[float] = field(default_factory=list)

    @property
    def source(self) -> int:
        return 2 * len(self.numbers)

    @property
    def sink(self) -> int:
        return self.source + 1

    def front(self, node: fx.Node) -> int:
        return 2 * self.numbers[node]

    def back(self, node: fx.Node) -> int:
        return 2 * self.numbers[node] + 1

    def add_edge(self, tail: int, head: int, capacity: float) -> None:
        if capacity > 0:
            self.tails.append(tail)
            self.heads.append(head)
            self.capacities.append(capacity)

    def cut(self) -> NDArray[np.bool_]:
        """Return for each vertex if it lies on the source's side of a minimum cut."""
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import breadth_first_order, maximum_flow

        size = self.sink + 1
        graph = csr_array((self._integers(), (self.tails, self.heads)), shape=(size, size))
        rest = graph - maximum_flow(graph, self.source, self.sink).flow
        rest.data = np.maximum(rest.data, 0)
        rest.eliminate_zeros()
        reached = breadth_first_order(rest, self.source, return_predecessors=False)
        side = np.zeros(size, dtype=bool)
        side[reached] = True
        return side

    def _integers(self) -> NDArray[np.int32]:
        """Return the capacities in a unit in which scipy's integers can hold them."""
        capacities = np.array(self.capacities)
        finite = np.isfinite(capacities)
        unit = max(1.0, float(capacities[finite].sum()) / _LARGEST)
        whole = np.where(finite, np.ceil(np.minimum(capacities, 1e300) / unit), _LARGEST)
        return np.minimum(whole, _LARGEST).astype(np.int32)


def minimum_cut(reads: ForwardReads, costs: Costs, price: float) -> frozenset[fx.Node]:
    """Return the values to keep for the least of bytes kept + price * recomputed work.

    A random op is never computed again. Inputs are free.
    """
    # In the order of the graph, so that equal cuts come out equal.
    ancestors = sorted(reads.find_ancestors())
    network = _write_network(ancestors, reads.promised, costs, price)
    if not network.capacities:
        return frozenset()
    side = network.cut()
    return frozenset(n for n in ancestors if side[network.front(n)] and not side[network.back(n)])


def _write_network(
    ancestors: Collection[fx.Node], promised: Collection[fx.Node], costs: Costs, price: float
) -> _Network:
    network = _Network({node: i for i, node in enumerate(ancestors)})
    for node in ancestors:
        # Of several views, the tensor itself is the one to keep.
        view = costs.owner(node) is not node
        keep = max(1, costs.bytes_to_keep(node)) + view if is_keepable(node) else np.inf
        again = np.inf if is_random(node) else price * costs.work(node)
        network.add_edge(network.front(node), network.back(node), keep)
        network.add_edge(network.source, network.front(node), again)
        for operand in node.all_input_nodes:
            if operand in network.numbers:
                network.add_edge(network.back(operand), network.front(node), np.inf)
    for node in promised:
        if node in network.numbers:
            network.add_edge(network.back(node), network.sink, np.inf)
    return network


def find_random_values(nodes: Iterable[fx.Node]) -> frozenset[fx.Node]:
    """Return the values that must be kept because computing them again would give others."""
    found = set()
    for node in nodes:
        if is_random(node):
            found |= {node} if is_keepable(node) else set(node.users)
    return frozenset(found)
