"""The promise resolver: which values are kept, by policy. A pure pass; it touches no tensor.

The joint graph falls into what depends on the seed (the relevance program) and what does not.
Promises are the values that cross. Any set of kept values is sound, because all others can be
computed again from the inputs; policies differ in bytes and work.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from torch import fx

from ..errors import PromiseError
from ..graphs.walk import downstream, upstream
from ..propagate.joint_graph import Joint
from .checkpoints import Stretch
from .costs import Costs, is_keepable
from .fusion import FusedCosts
from .memory import Run, Timeline, timeline
from .minimum_cut import Crossing, minimum_cut, must_be_kept
from .policy import (
    Budget,
    Choice,
    Policy,
    readable,
)
from .schedule import (
    assertions,
    forward_order,
    inputs_of,
    relevance_order,
)

# `balanced` does at most this share of the whole explanation's work a second time.
BALANCED_SHARE = 0.15
# What computing again may cost for a byte saved, from nothing to what no policy would pay.
PRICES = tuple(0.5 * 0.6**k for k in range(12))
# A blend of two sets changes from one to the other at one of so many places.
_BORDERS = 64
# Within this of the lowest peak, less work is preferred.
_NEAR = 1.02


@dataclass(frozen=True)
class Cut:
    """The resolver's decision: values that cross, and values computed again behind the cut."""

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
    """One joint graph, with what its two programs must return.

    `fused`: the programs will be compiled, so that entrywise ops cost next to nothing.
    """

    joint: Joint
    outputs: Sequence[fx.Node]
    results: Sequence[fx.Node]
    costs: Costs = field(default_factory=Costs)
    fused: bool = False
    _options: dict[frozenset[fx.Node], _Option] = field(default_factory=dict)

    def resolve(self, policy: Choice) -> Cut:
        """Decides for every value that the relevance program reads: keep it, or compute it again.

        Raises PromiseError if a budget cannot be met, or if a read value is neither a tensor
        nor a size.
        """
        if isinstance(policy, Budget):
            option = self._within(policy)
        elif policy is Policy.LOW_MEMORY:
            option = _leanest(self._checkpointed())
        else:
            option = self._balanced if policy is Policy.BALANCED else self._keep
        return self._cut(option)

    @cached_property
    def relevance(self) -> frozenset[fx.Node]:
        """What depends on the seed."""
        seeds = set(self.joint.seeds)
        return frozenset(seeds | set(downstream(seeds)))

    @cached_property
    def crossing(self) -> Crossing:
        """Forward values with a reader in the relevance program."""
        results = set(self.results)
        readers = self.relevance & upstream(self.results)
        read = tuple(
            n
            for n in self.joint.graph.nodes
            if n not in self.relevance and (n in results or not readers.isdisjoint(n.users))
        )
        crossing = Crossing(read, self._constants())
        for node in crossing.asked:
            if not is_keepable(node):
                raise PromiseError(f"the value of {node.name} ({node.target}) cannot be kept")
        return crossing

    def _constants(self) -> frozenset[fx.Node]:
        """Parameters and what depends on them alone: always there, never kept."""
        found: set[fx.Node] = set()
        for node in self.joint.graph.nodes:
            if node.op == "get_attr":
                found.add(node)
            elif node.op == "call_function" and node not in self.relevance:
                found |= {node} if found.issuperset(node.all_input_nodes) else set()
        return frozenset(found)

    @cached_property
    def _random(self) -> frozenset[fx.Node]:
        return must_be_kept(self.crossing.above())

    @cached_property
    def _total_work(self) -> float:
        return sum(self.costs.work(n) for n in self.joint.graph.nodes)

    def _option(self, kept: Collection[fx.Node]) -> _Option:
        key = frozenset(n for n in kept if n.op != "placeholder")
        if key not in self._options:
            work = self.crossing.work(key, self.costs)
            self._options[key] = _Option(key, work, self.foretold(key))
        return self._options[key]

    @cached_property
    def _keep(self) -> _Option:
        if not self.fused:
            return self._option(self.crossing.asked)
        costs = FusedCosts(self.costs.sizes, relevance=self.relevance)
        return self._option(minimum_cut(self.crossing, costs, price=1.0) | self._random)

    def _priced(self) -> Iterator[_Option]:
        """Minimum cuts, from little work done again to much."""
        for price in PRICES:
            kept = minimum_cut(self.crossing, self.costs, price)
            yield self._option(kept | self._random)

    @cached_property
    def _balanced(self) -> _Option:
        limit = BALANCED_SHARE * self._total_work
        found = [self._keep]
        for option in self._priced():
            if option.work > limit:
                found += self._blended(option, found[-1], lambda o: o.work <= limit)
                break
            found.append(option)
        return _leanest([option for option in found if option.work <= limit])

    def _blended(
        self, lean: _Option, rich: _Option, enough: Callable[[_Option], bool]
    ) -> list[_Option]:
        """`lean` early in the forward pass and `rich` late, the border where `enough` changes.

        Equal layers have equal prices, so a cut at one price takes all of them or none.
        """
        position, count = self._stretch.position, len(self._stretch.order)
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

    @cached_property
    def _stretch(self) -> Stretch:
        line = forward_order(self.joint, self.crossing.asked)
        return Stretch.of(line, self.crossing, self.costs)

    def _boundaries(self) -> list[tuple[int, ...]]:
        """Checkpoint places for segments of many sizes, without repetition."""
        total = float(self._stretch.asked_bytes[-1]) if self._stretch.order else 0.0
        counts = [round(1.4**k) for k in range(1, 20)]
        found = (
            self._stretch.boundaries(total / n) for n in counts if n <= len(self._stretch.order)
        )
        return [places for places in dict.fromkeys(found) if places]

    def _from(self, places: tuple[int, ...], last: int) -> _Option:
        """Checkpoints up to the boundary number `last`; behind it, what `balanced` keeps.

        Keeping the last segment costs no memory: its promises are due at once.
        """
        checkpoints = self._stretch.checkpoints(places[: last + 1])
        position, end = self._stretch.position, places[last]
        late = {n for n in self._balanced.kept if position.get(n, -1) > end}
        return self._option(checkpoints | late | self._random)

    def _checkpointed(self) -> list[_Option]:
        several = [self._from(places, len(places) - 1) for places in self._boundaries()]
        return [self._balanced, *several]

    def _within(self, budget: Budget) -> _Option:
        """The option of least work whose peak the budget allows."""
        if self._keep.peak <= budget.bytes:
            return self._keep
        found = [self._keep, *self._priced()]
        for rich, lean in itertools.pairwise(found[:]):
            if lean.peak <= budget.bytes < rich.peak:
                found += self._blended(lean, rich, lambda option: option.peak > budget.bytes)
        # Found for any budget, so that the smallest one that is named will do when it is asked for.
        always = [*found[: 1 + len(PRICES)], *self._checkpointed()]
        found += always
        for places in self._boundaries():
            low, high = 0, len(places) - 1
            while low < high:
                middle = (low + high) // 2
                found.append(self._from(places, middle))
                low, high = (low, middle) if found[-1].peak <= budget.bytes else (middle + 1, high)
        fitting = [option for option in found if option.peak <= budget.bytes]
        if not fitting:
            least = min(option.peak for option in always)
            raise PromiseError(
                f"a budget of {budget.bytes} bytes ({budget}) is too small: the smallest that would"
                f" do is {least} bytes ({readable(least)}) at the example's sizes"
            )
        return min(fitting, key=lambda option: (option.work, option.peak))

    def _cut(self, option: _Option) -> Cut:
        order = {node: i for i, node in enumerate(self.joint.graph.nodes)}
        return Cut(
            relevance=self.relevance,
            kept=tuple(sorted(option.kept, key=order.__getitem__)),
            recomputed=self.crossing.again(option.kept),
            work_again=option.work / self._total_work if self._total_work else 0.0,
            memory=option.memory,
        )

    def foretold(self, kept: Collection[fx.Node], costs: Costs | None = None) -> Timeline:
        """Memory over time if `kept` is kept."""
        joint, outputs, kept = self.joint, self.outputs, list(kept)
        checks = assertions(joint, self.relevance)
        first = forward_order(joint, [*outputs, *kept, *checks])
        second = relevance_order(joint, self.relevance, kept, self.results)
        given = {*joint.seeds, *inputs_of(joint), *kept}
        forward = [n for n in first if n.op == "call_function"]
        relevance = [n for n in second if n.op == "call_function" and n not in given]
        return timeline(
            Run(forward, (), [*outputs, *kept]),
            # The explanation holds its seed: the ledger may be asked for later.
            Run(relevance, [*joint.seeds, *kept], [*self.results, *joint.seeds]),
            outputs,
            costs or self.costs,
        )


def _leanest(options: Collection[_Option]) -> _Option:
    """The lowest peak; among near ones the least work."""
    lowest = min(option.peak for option in options)
    near = [option for option in options if option.peak <= _NEAR * lowest]
    return min(near, key=lambda option: (option.work, option.peak))
