"""Memory over time, foretold from shapes: which values are alive at each step of both programs."""

from __future__ import annotations

import operator
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import fx

from ..graphs.nodes import value
from .costs import Costs


@dataclass(frozen=True)
class Timeline:
    """Bytes alive after every op: first the forward program, then the relevance program.

    Parameters, inputs and what a kernel uses inside itself are not counted. The model's outputs
    are: an explanation holds them.
    """

    ops: tuple[str, ...]
    bytes: tuple[int, ...]
    forward_steps: int
    kept: int

    @property
    def peak(self) -> int:
        """The most bytes that are alive at once."""
        return max(self.bytes, default=0)

    @property
    def peak_op(self) -> str:
        """The op at which the most bytes are alive."""
        return self.ops[self.bytes.index(self.peak)] if self.ops else ""


@dataclass(frozen=True)
class Run:
    """One program as data: its ops in order, what it is given beside inputs, what it returns."""

    ops: Sequence[fx.Node]
    given: Sequence[fx.Node]
    returned: Sequence[fx.Node]


def timeline(forward: Run, relevance: Run, outputs: Sequence[fx.Node], costs: Costs) -> Timeline:
    """Follows both programs; `outputs` stay alive to the end, every other value to its last use."""
    held = _Storages.of(Run((), outputs, ()), costs)
    first, second = (_alive(run, costs, held) for run in (forward, relevance))
    left = _Storages.of(Run((), forward.returned, ()), costs)
    return Timeline(
        ops=tuple(n.name for run in (forward, relevance) for n in run.ops),
        bytes=(*first, *(held.total() + b for b in second)),
        forward_steps=len(first),
        kept=left.total() - held.total(),
    )


@dataclass
class _Storages:
    """The pieces of memory that each value of one program shows, and their bytes."""

    shown: dict[fx.Node, tuple[Any, ...]] = field(default_factory=dict)
    bytes: dict[Any, int] = field(default_factory=dict)

    @classmethod
    def of(cls, run: Run, costs: Costs) -> _Storages:
        """What is given may be views of one tensor; what is computed is a view or new."""
        found = cls()
        for node in run.given:
            owner = costs.owner(node)
            if owner.op == "call_function" or owner is node:
                found.shown[node] = (("given", owner),)
                found.bytes["given", owner] = costs.bytes(owner)
        for node in run.ops:
            found._add(node, costs)
        return found

    def total(self) -> int:
        return sum(self.bytes.values())

    def _add(self, node: fx.Node, costs: Costs) -> None:
        base, example = costs.base(node), value(node)
        if base is not None:
            pieces = self.shown.get(base, ())
            part = node.target is operator.getitem and len(pieces) > 1
            self.shown[node] = (pieces[node.args[1]],) if part else pieces  # type: ignore[index]
        elif isinstance(example, (tuple, list)):
            self.shown[node] = tuple((node, i) for i in range(len(example)))
            self.bytes |= {(node, i): costs.of(v) for i, v in enumerate(example)}
        else:
            self.shown[node] = (node,)
            self.bytes[node] = costs.bytes(node)


def _alive(run: Run, costs: Costs, elsewhere: _Storages) -> list[int]:
    """Bytes alive during each op of one program, beside what is held elsewhere."""
    storages = _Storages.of(run, costs)
    last: dict[Any, int] = {}
    for i, node in enumerate(run.ops):
        for used in (node, *node.all_input_nodes):
            last |= dict.fromkeys(storages.shown.get(used, ()), i)
    for node in run.returned:
        last |= dict.fromkeys(storages.shown.get(node, ()), len(run.ops))
    ends: dict[int, list[Any]] = defaultdict(list)
    for piece, i in last.items():
        ends[i].append(piece)
    known = set(elsewhere.bytes)
    alive = {p for n in run.given for p in storages.shown.get(n, ())} - known
    now, during = sum(storages.bytes[p] for p in alive), []
    for i, node in enumerate(run.ops):
        fresh = set(storages.shown[node]) - alive - known
        alive |= fresh
        now += sum(storages.bytes[p] for p in fresh)
        during.append(now)
        done = alive.intersection(ends[i])
        alive -= done
        now -= sum(storages.bytes[p] for p in done)
    return during
