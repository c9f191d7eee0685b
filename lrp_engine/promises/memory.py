"""Predict memory over time from shapes: the values alive at each step of both programs."""

from __future__ import annotations

import operator
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from torch import fx

from ..graphs.nodes import part_of, value
from .costs import Costs

# Memory that one op allocated: its result, one of its results, or what the program was given.
_Piece: TypeAlias = fx.Node | tuple[fx.Node, int] | tuple[str, fx.Node]


@dataclass(frozen=True)
class Timeline:
    """Bytes alive after every op: first the forward program, then the relevance program.

    Parameters, inputs and a kernel's own workspace are not counted. The model's outputs are: an
    explanation holds them.
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
class ProgramSteps:
    """One program as data: its ops in order, its arguments beside inputs, its results."""

    ops: Sequence[fx.Node]
    given: Sequence[fx.Node]
    returned: Sequence[fx.Node]


def predict_timeline(
    forward: ProgramSteps, relevance: ProgramSteps, outputs: Sequence[fx.Node], costs: Costs
) -> Timeline:
    """Follow both programs and sum up the bytes alive.

    `outputs` stay alive to the end, every other value to its last use.
    """
    held = _Storages.of(ProgramSteps((), outputs, ()), costs)
    first, second = (_count_alive(steps, costs, held) for steps in (forward, relevance))
    left = _Storages.of(ProgramSteps((), forward.returned, ()), costs)
    return Timeline(
        ops=tuple(n.name for steps in (forward, relevance) for n in steps.ops),
        bytes=(*first, *(held.total() + b for b in second)),
        forward_steps=len(first),
        kept=left.total() - held.total(),
    )


@dataclass
class _Storages:
    """The pieces of memory behind each value of one program, and their bytes."""

    pieces: dict[fx.Node, tuple[_Piece, ...]] = field(default_factory=dict)
    bytes: dict[_Piece, int] = field(default_factory=dict)

    @classmethod
    def of(cls, steps: ProgramSteps, costs: Costs) -> _Storages:
        """Return those of one program.

        Arguments may be views of one tensor; what is computed is a view or new.
        """
        found = cls()
        for node in steps.given:
            owner = costs.owner(node)
            if owner.op == "call_function" or owner is node:
                found.pieces[node] = (("given", owner),)
                found.bytes["given", owner] = costs.bytes(owner)
        for node in steps.ops:
            found._add(node, costs)
        return found

    def total(self) -> int:
        return sum(self.bytes.values())

    def _add(self, node: fx.Node, costs: Costs) -> None:
        base, example = costs.base(node), value(node)
        if base is not None:
            pieces = self.pieces.get(base, ())
            part = node.target is operator.getitem and len(pieces) > 1
            self.pieces[node] = (pieces[part_of(node)[1]],) if part else pieces
        elif isinstance(example, (tuple, list)):
            self.pieces[node] = tuple((node, i) for i in range(len(example)))
            self.bytes |= {(node, i): costs.bytes_of_values(v) for i, v in enumerate(example)}
        else:
            self.pieces[node] = (node,)
            self.bytes[node] = costs.bytes(node)


def _count_alive(steps: ProgramSteps, costs: Costs, elsewhere: _Storages) -> list[int]:
    """Return the bytes alive during each op of one program, beside what is held elsewhere."""
    storages = _Storages.of(steps, costs)
    ends = _pieces_by_last_use(steps, storages)
    known = set(elsewhere.bytes)
    alive = {p for n in steps.given for p in storages.pieces.get(n, ())} - known
    now, during = sum(storages.bytes[p] for p in alive), []
    for i, node in enumerate(steps.ops):
        fresh = set(storages.pieces[node]) - alive - known
        alive |= fresh
        now += sum(storages.bytes[p] for p in fresh)
        during.append(now)
        done = alive.intersection(ends[i])
        alive -= done
        now -= sum(storages.bytes[p] for p in done)
    return during


def _pieces_by_last_use(steps: ProgramSteps, storages: _Storages) -> dict[int, list[_Piece]]:
    """Return the pieces that are read last at each op, by its number."""
    last: dict[_Piece, int] = {}
    for i, node in enumerate(steps.ops):
        for used in (node, *node.all_input_nodes):
            last |= dict.fromkeys(storages.pieces.get(used, ()), i)
    for node in steps.returned:
        last |= dict.fromkeys(storages.pieces.get(node, ()), len(steps.ops))
    ends: dict[int, list[_Piece]] = defaultdict(list)
    for piece, i in last.items():
        ends[i].append(piece)
    return ends
