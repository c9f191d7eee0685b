"""List promises: the forward values that rules read, and how each one is honoured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import overload

from torch import fx

from ..graphs.nodes import origin, target_name
from ..graphs.walk import closure
from ..propagate.joint_graph import JointGraph
from .costs import Costs
from .policy import format_bytes
from .resolve import PromiseCut


class Fate(Enum):
    """The ways to honour a promise."""

    KEPT = "kept"
    RECOMPUTED = "recomputed"
    DERIVED = "kept as a value derived from it"
    FREE = "free: an input of the model"


@dataclass(frozen=True)
class Promise:
    """One value that rules read: the op that made it, the ops that asked, its bytes.

    Bytes are those at the example's sizes. `comes_from` names the kept values and inputs that it
    is recomputed from (RECOMPUTED), or the values that are kept in its place (DERIVED).
    """

    value: str
    made_by: str
    module: str
    asked_by: tuple[str, ...]
    bytes: int
    fate: Fate
    comes_from: tuple[str, ...] = ()

    def row(self) -> tuple[str, str, str, str, str]:
        """Return the columns of `Promises.HEAD` as text."""
        fate = self.fate.value
        if self.fate is Fate.RECOMPUTED:
            fate += f" from {_short(self.comes_from)}" if self.comes_from else " from parameters"
        elif self.fate is Fate.DERIVED:
            fate = f"kept as {_short(self.comes_from)}"
        return self.value, self.made_by, self.module, format_bytes(self.bytes), fate


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
        """Return the table as text, without its head."""
        return [promise.row() for promise in self.made]

    def counts(self) -> dict[str, int]:
        """Return the numbers of promises kept, recomputed, derived and free."""
        return dict(Counter(promise.fate.name.lower() for promise in self.made))

    def line(self) -> str:
        """Return counts, bytes and work in one line."""
        fates = ", ".join(f"{n} {fate}" for fate, n in self.counts().items())
        return (
            f"{len(self.made)} promises ({fates}); {format_bytes(self.kept_bytes)} kept between"
            f" the programs, peak {format_bytes(self.peak_bytes)}, {self.work_again:.0%} of the"
            " work done twice"
        )

    def __str__(self) -> str:
        rows = [self.HEAD, *self.rows()]
        widths = [max(len(row[i]) for row in rows) for i in range(len(self.HEAD))]
        text = (
            "  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)).rstrip() for r in rows
        )
        return "\n".join([*text, self.line()])


def list_promises(joint: JointGraph, cut: PromiseCut, costs: Costs) -> Promises:
    """Return the table of promises made to the rules."""
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


def _fate(node: fx.Node, cut: PromiseCut) -> Fate:
    if node.op == "placeholder":
        return Fate.FREE
    if node in cut.kept:
        return Fate.KEPT
    return Fate.RECOMPUTED if node in cut.recomputed else Fate.DERIVED


def _comes_from(node: fx.Node, fate: Fate, cut: PromiseCut) -> tuple[str, ...]:
    if fate is Fate.RECOMPUTED:
        return tuple(n.name for n in _recomputed_from(node, cut))
    return tuple(n.name for n in _kept_instead_of(node, cut)) if fate is Fate.DERIVED else ()


def _recomputed_from(node: fx.Node, cut: PromiseCut) -> dict[fx.Node, None]:
    """Return the kept values and inputs that a value is recomputed from."""
    kept = set(cut.kept)

    def known(n: fx.Node) -> bool:
        return n in kept or n.op == "placeholder"

    again = closure([node], lambda n: [o for o in n.all_input_nodes if not known(o)])
    return dict.fromkeys(o for n in again for o in n.all_input_nodes if known(o))


def _kept_instead_of(node: fx.Node, cut: PromiseCut) -> list[fx.Node]:
    """Return the nearest kept values that were computed from a value."""
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
