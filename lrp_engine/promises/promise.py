"""Promises: values of the forward pass that rules asked for, and how each one is honoured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import overload

from torch import fx

from ..graphs.nodes import origin, target_name
from ..propagate.joint_graph import Joint
from .costs import Costs
from .policy import Policy, readable
from .resolve import Cut

__all__ = ["Fate", "Policy", "Promise", "Promises", "promises"]


class Fate(Enum):
    """How a promise is honoured."""

    KEPT = "kept"
    RECOMPUTED = "recomputed"
    DERIVED = "kept as a value derived from it"
    FREE = "free: an input of the model"


@dataclass(frozen=True)
class Promise:
    """One value that rules read: who made it, who asked, its bytes at the example's sizes.

    `comes_from`: the kept values and inputs that it is computed from again (RECOMPUTED), or the
    values that are kept in its place (DERIVED).
    """

    value: str
    made_by: str
    module: str
    asked_by: tuple[str, ...]
    bytes: int
    fate: Fate
    comes_from: tuple[str, ...] = ()

    def row(self) -> tuple[str, str, str, str, str]:
        """value, made by, module, bytes, what became of it."""
        fate = self.fate.value
        if self.fate is Fate.RECOMPUTED:
            fate += f" from {_short(self.comes_from)}" if self.comes_from else " from parameters"
        elif self.fate is Fate.DERIVED:
            fate = f"kept as {_short(self.comes_from)}"
        return self.value, self.made_by, self.module, readable(self.bytes), fate


@dataclass(frozen=True)
class Promises(Sequence[Promise]):
    """The table of promises. `print` shows it; iterating gives `Promise` records."""

    made: tuple[Promise, ...]
    kept_bytes: int
    peak_bytes: int
    work_again: float

    HEAD = ("value", "made by", "module", "bytes", "how it is honoured")

    @overload
    def __getitem__(self, index: int) -> Promise: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Promise, ...]: ...
    def __getitem__(self, index: int | slice) -> Promise | tuple[Promise, ...]:
        return self.made[index]

    def __len__(self) -> int:
        return len(self.made)

    def __iter__(self) -> Iterator[Promise]:
        return iter(self.made)

    def rows(self) -> list[tuple[str, ...]]:
        """The table as text, without its head."""
        return [promise.row() for promise in self.made]

    def counts(self) -> dict[str, int]:
        """How many promises are kept, recomputed, derived, free."""
        return dict(Counter(promise.fate.name.lower() for promise in self.made))

    def line(self) -> str:
        """Counts, bytes and work in one line."""
        fates = ", ".join(f"{n} {fate}" for fate, n in self.counts().items())
        return (
            f"{len(self.made)} promises ({fates}); {readable(self.kept_bytes)} kept between the"
            f" programs, peak {readable(self.peak_bytes)}, {self.work_again:.0%} of the work done"
            " twice"
        )

    def __str__(self) -> str:
        rows = [self.HEAD, *self.rows()]
        widths = [max(len(row[i]) for row in rows) for i in range(len(self.HEAD))]
        text = (
            "  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)).rstrip() for r in rows
        )
        return "\n".join([*text, self.line()])


def promises(joint: Joint, cut: Cut, costs: Costs) -> Promises:
    """The table of promises made by the rules."""
    rows = []
    for read, asked in joint.reads.items():
        node = joint.shared.get(read, read)
        if node in cut.relevance or node.op == "get_attr":
            continue
        fate = _fate(node, cut)
        rows.append(
            Promise(
                value=node.name,
                made_by="input" if node.op == "placeholder" else target_name(node),
                module=origin(read).module,
                asked_by=tuple(dict.fromkeys(n.name for n in asked)),
                bytes=costs.bytes(node),
                fate=fate,
                comes_from=_comes_from(node, fate, cut),
            )
        )
    kept = sum(costs.bytes(owner) for owner in {costs.owner(node) for node in cut.kept})
    return Promises(tuple(rows), kept, cut.memory.peak, cut.work_again)


def _fate(node: fx.Node, cut: Cut) -> Fate:
    if node.op == "placeholder":
        return Fate.FREE
    if node in cut.kept:
        return Fate.KEPT
    return Fate.RECOMPUTED if node in cut.recomputed else Fate.DERIVED


def _comes_from(node: fx.Node, fate: Fate, cut: Cut) -> tuple[str, ...]:
    if fate is Fate.RECOMPUTED:
        return tuple(n.name for n in _sources(node, cut))
    return tuple(n.name for n in _stand_ins(node, cut)) if fate is Fate.DERIVED else ()


def _sources(node: fx.Node, cut: Cut) -> dict[fx.Node, None]:
    """The kept values and inputs that a value is computed from again."""
    kept, seen = set(cut.kept), {node}
    found: dict[fx.Node, None] = {}
    stack = [node]
    while stack:
        for near in stack.pop().all_input_nodes:
            if near in kept or near.op == "placeholder":
                found[near] = None
            elif near not in seen:
                seen.add(near)
                stack.append(near)
    return found


def _stand_ins(node: fx.Node, cut: Cut) -> list[fx.Node]:
    """The nearest kept values that were computed from a value."""
    kept, seen, level = set(cut.kept), {node}, [node]
    while level:
        below = dict.fromkeys(u for n in level for u in n.users if u not in seen)
        level = [n for n in below if n not in cut.relevance]
        if found := [n for n in level if n in kept]:
            return found
        seen.update(level)
    return []


def _short(names: Sequence[str], most: int = 3) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
