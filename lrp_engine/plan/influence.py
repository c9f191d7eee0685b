"""Say of every input whether relevance reaches it, and of what else a booked amount depends on.

The inputs are followed forward once more, now that it is known which values carry relevance. Where
a value that carries none meets one that does, its inputs influence the explained output and are not
explained by that way. The kind of way decides what they are called.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

from torch import fx

from ..capture import Captured
from ..graphs.aten import READS_DATA
from ..graphs.nodes import holds_tensors, is_floating, origin, target_name
from ..method.op import Stop
from ..method.registry import Registry
from .uses import Use, Uses, is_boolean, uses_of


class InputKind(Enum):
    """The ways in which an input can influence the explained output; the later ones weigh more.

    The values are the causes under which the ledger books amounts that depend on such inputs.
    """

    SOURCE = "source"
    CONTROL = "control"
    ROUNDED = "rounding"
    STOPPED = "stopped"
    LEFT_OUT = "other input"
    UNREACHED = "unreached input"


_WEIGHT = {kind: i for i, kind in enumerate(InputKind)}
_NO_RELEVANCE = "integers and booleans carry no relevance"
_CHOOSES = "it only chooses among entries"
_SWITCHES = "it is compared, and the result only switches"
_SCALES = "it only scales what others contribute"


@dataclass(frozen=True)
class InputUse:
    """Describe one input's part in an explanation: a source, or why it is none.

    `node`, `op` and `module` say where its way ended; `sources` are the names of its sources.
    """

    name: str
    kind: InputKind
    reason: str = ""
    node: str = ""
    op: str = ""
    module: str = ""
    sources: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.kind is InputKind.SOURCE:
            return f"source: {self.name}, explained at {', '.join(self.sources)}"
        place = f" at {self.op} in {self.module}" if self.op else ""
        return f"{self.kind.value}: {self.name}{place}: {self.reason}"


@dataclass(frozen=True)
class Influence:
    """The use of every input, and per op the cause of amounts that are not constant."""

    inputs: tuple[InputUse, ...] = ()
    causes: Mapping[fx.Node, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Mark:
    """Describe a value that depends on one input; `node` is where its relevance ended."""

    kind: InputKind
    reason: str
    node: fx.Node | None = None


_Marks = dict[str, _Mark]
_A_SOURCE = ""  # stands for the inputs that live values depend on


@dataclass
class InfluenceWalk:
    """The marks of all values without relevance.

    `live` values carry relevance; at those in `passing`, it is passed on to operands. `stopped`
    has the reasons of the ops where relevance ends, `controls` values that only scale others,
    `rounded` those that are what rounding changed.
    """

    captured: Captured
    registry: Registry
    live: Collection[fx.Node]
    passing: Collection[fx.Node]
    stopped: Mapping[fx.Node, str]
    controls: Collection[fx.Node]
    rounded: Collection[fx.Node] = ()
    marks: dict[fx.Node, _Marks] = field(default_factory=dict)
    met: _Marks = field(default_factory=dict)
    causes: dict[fx.Node, str] = field(default_factory=dict)

    def start(self, kind: InputKind) -> None:
        """Mark every input that carries no relevance itself."""
        for port in self.captured.inputs:
            if port.node not in self.live:
                self.marks[port.node] = {port.name: _Mark(kind, _NO_RELEVANCE)}

    def visit(self, node: fx.Node) -> None:
        """Carry the marks of an op's operands on, or meet relevance."""
        known = [n for n in node.all_input_nodes if n in self.marks or n in self.live]
        if not known or (node in self.live and node not in self.passing):
            return
        if not holds_tensors(node):
            self._read(node, known)
            return
        uses = uses_of(node, self.registry, self.live)
        found = dict(self._arriving(node, uses))
        if node not in self.live:
            self.marks[node] = found
            return
        for name, mark in found.items():
            _add(self.met, name, mark if mark.node else replace(mark, node=node))
        if found:
            worst = max(found.values(), key=lambda mark: _WEIGHT[mark.kind])
            self.causes[node] = worst.kind.value

    def _read(self, node: fx.Node, known: list[fx.Node]) -> None:
        """Take a number that is read out of a tensor for a switch; sizes say nothing."""
        if node in self.live:
            return
        if node.target in READS_DATA or not any(map(holds_tensors, known)):
            marked = [name for n in known for name in self.marks.get(n, {_A_SOURCE: None})]
            self.marks[node] = {n: _Mark(InputKind.CONTROL, _SWITCHES, node) for n in marked}

    def _arriving(self, node: fx.Node, uses: Uses) -> Iterator[tuple[str, _Mark]]:
        found: _Marks = {}
        for use in uses.each:
            for name, mark in self._marks_of(node, use).items():
                _add(found, name, self._through(node, uses, use, mark))
        yield from found.items()

    def _marks_of(self, node: fx.Node, use: Use) -> _Marks:
        if use.node not in self.live:
            return self.marks.get(use.node, {})
        if node in self.live:
            return {}  # it carries relevance itself: how the rule shares it is the rule's business
        return {_A_SOURCE: _Mark(InputKind.STOPPED, self.stopped.get(node, ""), node)}

    def _through(self, node: fx.Node, uses: Uses, use: Use, mark: _Mark) -> _Mark:
        """Return what a mark becomes by one use."""
        if mark.kind is InputKind.CONTROL:
            return mark
        if node in self.rounded:
            return _Mark(InputKind.ROUNDED, self.stopped.get(node, ""), node)
        if node in self.controls:
            return _Mark(InputKind.CONTROL, _SCALES, node)
        if use.chooses and not self._looks_up(node, uses, use):
            return _Mark(InputKind.CONTROL, _CHOOSES, node)
        if is_boolean(node):
            return _Mark(InputKind.CONTROL, _SWITCHES, node)
        ended = uses.op.reason if isinstance(uses.op, Stop) else self.stopped.get(node)
        if mark.node is None and ended:
            return replace(mark, reason=ended, node=node)
        return mark

    def _looks_up(self, node: fx.Node, uses: Uses, use: Use) -> bool:
        """Return whether numbers choose rows of a constant table: then they are what counts."""
        others = [u.node for u in uses.each if not u.chooses]
        constant = not any(n in self.live or n in self.marks for n in others)
        return constant and is_floating(node) and not is_boolean(use.node)


def _add(marks: _Marks, name: str, mark: _Mark) -> None:
    old = marks.get(name)
    if old is None or _WEIGHT[mark.kind] > _WEIGHT[old.kind]:
        marks[name] = mark


def find_influence(walk: InfluenceWalk, sources: Mapping[str, tuple[str, ...]]) -> Influence:
    """Follow the inputs through the graph; `sources` has the names of the sources by input.

    Inputs that do not influence the explained output are not listed.
    """
    for node in walk.captured.graph.nodes:
        if node.op == "call_function":
            walk.visit(node)
    found: list[InputUse] = []
    for port in walk.captured.inputs:
        named, mark = sources.get(port.name, ()), walk.met.get(port.name)
        if named:
            found.append(InputUse(port.name, InputKind.SOURCE, sources=named))
        if mark and (not named or mark.kind is InputKind.UNREACHED):
            found.append(_use(port.name, mark))
    return Influence(tuple(found), walk.causes)


def _use(name: str, mark: _Mark) -> InputUse:
    node = mark.node
    if node is None:
        return InputUse(name, mark.kind, mark.reason)
    return InputUse(name, mark.kind, mark.reason, node.name, target_name(node), str(origin(node)))
