"""Resolve promises: decide by policy which values are kept. No tensor is touched.

The joint graph falls into the part that depends on the seed (the relevance program) and the rest.
Promises are the values that cross from one to the other. Any set of kept values is sound, because
all others can be recomputed from the inputs; policies differ in bytes and work.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from torch import fx

from ..errors import PromiseError
from ..graphs.nodes import describe
from ..graphs.randomness import is_random
from ..graphs.walk import downstream, upstream
from ..propagate.joint_graph import JointGraph
from .checkpoints import ForwardSequence
from .costs import Costs, is_keepable
from .fusion import FusedCosts
from .memory import ProgramSteps, Timeline, predict_timeline
from .minimum_cut import ForwardReads, find_random_values, minimum_cut
from .policy import MemoryBudget, Policy, PolicyOrBudget, format_bytes
from .schedule import (
    find_assertions,
    list_inputs,
    order_forward_ops,
    order_relevance_ops,
)

# `balanced` recomputes at most this share of the whole explanation's work.
BALANCED_SHARE = 0.15
# Work to recompute that a byte saved may cost, from nothing to what no policy would pay.
PRICES = tuple(0.5 * 0.6**k for k in range(12))
# A blend of two sets changes from one to the other at one of so many places.
_BORDERS = 64
# Within this of the lowest peak, less work is preferred.
_NEAR = 1.02


@dataclass(frozen=True)
class PromiseCut:
    """The resolver's decision: values that cross, and values recomputed behind the cut."""

    relevance: frozenset[fx.Node]
    kept: tuple[fx.Node, ...]
    recomputed: frozenset[fx.Node]
    work_again: float  # as a share of the work of both programs
    memory: Timeline


@dataclass(frozen=True)
class _Option:
    kept: frozenset[fx.Node]
    work: float
    memory: Timeline

    @property
    def peak(self) -> int:
        return self.memory.peak


@dataclass
class Resolver:
    """Resolves the promises of one joint graph, given what its two programs must return.

    `fused`: the programs will be compiled, so that entrywise ops cost next to nothing.
    """

    joint: JointGraph
    outputs: Sequence[fx.Node]
    results: Sequence[fx.Node]
    costs: Costs = field(default_factory=Costs)
    fused: bool = False
    _options: dict[frozenset[fx.Node], _Option] = field(default_factory=dict)

    def resolve(self, policy: PolicyOrBudget) -> PromiseCut:
        """Decide for every value that the relevance program reads: keep or recompute it.

        Raises:
            PromiseError: a budget cannot be met, or a value is neither a tensor nor a size.
        """
        if isinstance(policy, MemoryBudget):
            option = self._fit_budget(policy)
        elif policy is Policy.LOW_MEMORY:
            option = _leanest([self._balanced, *self._checkpointed()])
        else:
            option = self._balanced if policy is Policy.BALANCED else self._keep
        return self._cut_at(option)

    def predict_memory(self, kept: Collection[fx.Node], costs: Costs | None = None) -> Timeline:
        """Return the memory over time of both programs if `kept` is kept."""
        joint, outputs, kept = self.joint, self.outputs, list(kept)
        checks = find_assertions(joint, self.relevance)
        first = order_forward_ops(joint, [*outputs, *kept, *checks])
        second = order_relevance_ops(joint, self.relevance, kept, self.results)
        given = {*joint.seeds, *list_inputs(joint), *kept}
        forward = [n for n in first if n.op == "call_function"]
        relevance = [n for n in second if n.op == "call_function" and n not in given]
        return predict_timeline(
            ProgramSteps(forward, (), [*outputs, *kept]),
            # The explanation holds its seed: the ledger may be asked for later.
            ProgramSteps(relevance, [*joint.seeds, *kept], [*self.results, *joint.seeds]),
            outputs,
            costs or self.costs,
        )

    @cached_property
    def relevance(self) -> frozenset[fx.Node]:
        """The nodes that depend on the seed."""
        seeds = set(self.joint.seeds)
        return frozenset(seeds | set(downstream(seeds)))

    @cached_property
    def reads(self) -> ForwardReads:
        """Forward values with a reader in the relevance program."""
        results = set(self.results)
        readers = self.relevance & upstream(self.results)
        read = tuple(
            n
            for n in self.joint.graph.nodes
            if n not in self.relevance and (n in results or not readers.isdisjoint(n.users))
        )
        reads = ForwardReads(read, self._find_constants())
        for node in reads.promised:
            if not is_keepable(node):
                raise PromiseError(
                    f"{describe(node)} cannot be kept between the programs: its value is neither"
                    " one tensor nor a number. A rule must read one of its results instead"
                )
        return reads

    def _find_constants(self) -> frozenset[fx.Node]:
        """Return parameters and what depends on them alone: always there, never kept.

        A random draw is none, though it may depend on nothing at all.
        """
        found: set[fx.Node] = set()
        for node in self.joint.graph.nodes:
            if node.op == "get_attr":
                found.add(node)
            elif node.op == "call_function" and node not in self.relevance:
                constant = found.issuperset(node.all_input_nodes) and not is_random(node)
                found |= {node} if constant else set()
        return frozenset(found)

    @cached_property
    def _random(self) -> frozenset[fx.Node]:
        return find_random_values(self.reads.find_ancestors())

    @cached_property
    def _total_work(self) -> float:
        return sum(self.costs.work(n) for n in self.joint.graph.nodes)

    @cached_property
    def _sequence(self) -> ForwardSequence:
        order = order_forward_ops(self.joint, self.reads.promised)
        return ForwardSequence.of(order, self.reads, self.costs)

    def _option(self, kept: Collection[fx.Node]) -> _Option:
        key = frozenset(n for n in kept if n.op != "placeholder")
        if key not in self._options:
            work = self.reads.recomputed_work(key, self.costs)
            self._options[key] = _Option(key, work, self.predict_memory(key))
        return self._options[key]

    @cached_property
    def _keep(self) -> _Option:
        if not self.fused:
            return self._option(self.reads.promised)
        costs = FusedCosts(self.costs.sizes, relevance=self.relevance)
        return self._option(minimum_cut(self.reads, costs, price=1.0) | self._random)

    @cached_property
    def _balanced(self) -> _Option:
        limit = BALANCED_SHARE * self._total_work
        found = [self._keep]
        for option in self._at_prices():
            if option.work > limit:
                found += self._blend(option, found[-1], lambda o: o.work <= limit)
                break
            found.append(option)
        return _leanest([option for option in found if option.work <= limit])

    def _at_prices(self) -> Iterator[_Option]:
        """Yield minimum cuts, from little recomputed work to much."""
        for price in PRICES:
            kept = minimum_cut(self.reads, self.costs, price)
            yield self._option(kept | self._random)

    def _blend(
        self, lean: _Option, rich: _Option, enough: Callable[[_Option], bool]
    ) -> list[_Option]:
        """Try `lean` early in the forward pass and `rich` late; bisect for where `enough` changes.

        Equal layers have equal prices, so a cut at one price takes all of them or none.
        """
        position, count = self._sequence.position, len(self._sequence.order)
        found: list[_Option] = []
        low, high = 0, _BORDERS
        while high - low > 1:
            middle = (low + high) // 2
            border = count * middle // _BORDERS
            early = {n for n in lean.kept if position.get(n, 0) < border}
            late = {n for n in rich.kept if position.get(n, 0) >= border}
            found.append(self._option(early | late | self._random))
            low, high = (middle, high) if enough(found[-1]) else (low, middle)
        return found

    def _boundaries(self) -> list[tuple[int, ...]]:
        """Return checkpoint places for segments of many sizes, without repetition."""
        sequence = self._sequence
        total = float(sequence.promised_bytes[-1]) if sequence.order else 0.0
        counts = [round(1.4**k) for k in range(1, 20)]
        found = (sequence.find_boundaries(total / n) for n in counts if n <= len(sequence.order))
        return [places for places in dict.fromkeys(found) if places]

    def _checkpoint_until(self, places: tuple[int, ...], last: int) -> _Option:
        """Keep checkpoints up to the boundary number `last`; behind it, what `balanced` keeps.

        Keeping the last segment costs no memory: its promises are due at once.
        """
        checkpoints = self._sequence.find_checkpoints(places[: last + 1])
        position, end = self._sequence.position, places[last]
        late = {n for n in self._balanced.kept if position.get(n, -1) > end}
        return self._option(checkpoints | late | self._random)

    def _checkpointed(self) -> list[_Option]:
        return [self._checkpoint_until(places, len(places) - 1) for places in self._boundaries()]

    def _fit_budget(self, budget: MemoryBudget) -> _Option:
        """Return the option of least work whose peak the budget allows."""
        if self._keep.peak <= budget.bytes:
            return self._keep
        # Found for any budget, so that the smallest one that is named will do when it is asked for.
        priced = [self._keep, *self._at_prices()]
        always = [*priced, self._balanced, *self._checkpointed()]
        found = [*always, *self._near_budget(priced, budget)]
        fitting = [option for option in found if option.peak <= budget.bytes]
        if not fitting:
            least = min(option.peak for option in always)
            raise PromiseError(
                f"a budget of {budget.bytes} bytes ({budget}) is too small: the smallest that would"
                f" do is {least} bytes ({format_bytes(least)}) at the example's sizes"
            )
        return min(fitting, key=lambda option: (option.work, option.peak))

    def _near_budget(self, priced: Sequence[_Option], budget: MemoryBudget) -> Iterator[_Option]:
        """Yield options whose peaks bisect towards the budget."""
        for rich, lean in itertools.pairwise(priced):
            if lean.peak <= budget.bytes < rich.peak:
                yield from self._blend(lean, rich, lambda option: option.peak > budget.bytes)
        for places in self._boundaries():
            low, high = 0, len(places) - 1
            while low < high:
                middle = (low + high) // 2
                option = self._checkpoint_until(places, middle)
                yield option
                low, high = (low, middle) if option.peak <= budget.bytes else (middle + 1, high)

    def _cut_at(self, option: _Option) -> PromiseCut:
        order = {node: i for i, node in enumerate(self.joint.graph.nodes)}
        return PromiseCut(
            relevance=self.relevance,
            kept=tuple(sorted(option.kept, key=order.__getitem__)),
            recomputed=self.reads.find_recomputed(option.kept),
            work_again=option.work / self._total_work if self._total_work else 0.0,
            memory=option.memory,
        )


def _leanest(options: Collection[_Option]) -> _Option:
    """Return the option of the lowest peak; among near ones that of the least work."""
    lowest = min(option.peak for option in options)
    near = [option for option in options if option.peak <= _NEAR * lowest]
    return min(near, key=lambda option: (option.work, option.peak))
