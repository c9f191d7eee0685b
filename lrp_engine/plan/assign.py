"""Assign rules to a graph: find live ops forward, needed ones backward, and report all gaps."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from torch import fx

from ..canonicalise.complex_numbers import COMPLEX
from ..capture import Captured, OutputPort
from ..errors import CoverageError, PresetError, SourceError
from ..graphs.loops import is_loop_end
from ..graphs.nodes import (
    WHOLE,
    Whole,
    carries_values,
    describe,
    holds_tensors,
    is_below_two_bytes,
    is_complex,
    is_floating,
    is_getitem,
    is_sparse,
    module_stack,
    target_name,
    whole_of,
)
from ..graphs.schema import (
    Arguments,
    Operand,
    bind,
    names_of,
    operands_of,
    pick,
)
from ..graphs.walk import closure
from ..method.loops import HANDED_ON, STEP_ENDS
from ..method.op import Op
from ..method.registry import Registry
from ..preset.position import Places
from ..preset.preset import Preset, PresetRow
from .activations import Regions
from .choices import Choices, find_choices
from .infinities import Infinities
from .influence import Influence, InfluenceWalk, InputKind, find_influence
from .plan import (
    Assignment,
    Plan,
    SourcePort,
    Stopped,
)
from .signs import find_never_negative
from .sources import Sources

INSTEAD_OF_COMPLEX = (
    "\nComplex values are served as pairs of real ones at the ops in docs/complex-numbers.md. Write"
    " this part of the model with those, or in real numbers, with real and imaginary parts in"
    " tensors of their own."
)
BELOW_TWO_BYTES = (
    "float8 and smaller dtypes only store values: torch has no arithmetic for them, and relevance"
    " cannot travel in them"
)
INSTEAD_OF_FLOAT8 = (
    "\nCompute with these values in float16, bfloat16 or float32 instead: explain the model before"
    " it is quantised, or leave out the casts to float8."
)
SPARSE = "it makes a sparse tensor of live values, and relevance travels in dense ones"
INSTEAD_OF_SPARSE = (
    "\nStore the tensor dense (leave to_sparse out, or tensor.to_dense()), or write the product by"
    " index_select, a product with the values and index_add."
)
ADD_A_RECORD = (
    "\nAdd an op record (CONTRIBUTING.md shows how) and pass it as Engine(..., rules=[...]), choose"
    " a preset that serves the family, or write it in the model with ops that have rules."
)
# Values in which relevance cannot travel.
_NO_CARRIERS: Mapping[str, Callable[[fx.Node], bool]] = {
    COMPLEX: is_complex,
    BELOW_TWO_BYTES: is_below_two_bytes,
    SPARSE: is_sparse,
}
_ADVICE = {
    COMPLEX: INSTEAD_OF_COMPLEX,
    BELOW_TWO_BYTES: INSTEAD_OF_FLOAT8,
    SPARSE: INSTEAD_OF_SPARSE,
}
A_DRAW = (
    "it draws random numbers, and relevance arrives at it: there is no rule for how a draw depends"
    " on its parameters. Switch the noise off, draw outside of the model and give it the numbers as"
    " an input, or write the draw as mean + scale * noise"
)
NOT_AT_ALL_STEPS = (
    "relevance reaches a state of this recurrence at some steps only under this preset, and the"
    " graph holds one step for all: choose a preset that serves every op of the step, or"
    " write the recurrence as a Python loop"
)
A_NUMBER = (
    "a Python number is taken out of a live tensor (.item(), float(), a number argument), and"
    " relevance cannot pass through numbers: keep it a tensor, without .item()"
)


class Uncovered(CoverageError):
    """The ops that have no rule.

    Attributes:
        reasons: Why each node has none; a pass may decompose them.
        ops: The ops that the user wrote, of which these nodes are parts if they are not the op.
    """

    def __init__(self, gaps: Mapping[fx.Node, str]) -> None:
        self.reasons: dict[fx.Node, str] = dict(gaps)
        parts: dict[Whole, list[fx.Node]] = {}
        for node, reason in gaps.items():
            parts.setdefault(whole_of(node, reason), []).append(node)
        self.ops: tuple[Whole, ...] = tuple(parts)
        lines = [f"  {op.description}\n    {op.reason}{_of_parts(parts[op])}" for op in parts]
        advice = (_ADVICE[reason] for reason in gaps.values() if reason in _ADVICE)
        super().__init__(
            f"{len(parts)} live op(s) without a rule; nothing was computed:\n"
            + "\n".join(lines)
            + next(advice, ADD_A_RECORD)
        )


def _of_parts(nodes: Iterable[fx.Node]) -> str:
    """Say at which parts of an op that was taken apart there is no rule."""
    parts = sorted({target_name(n) for n in nodes if WHOLE in n.meta and not _touches_complex(n)})
    return f"\n    nor has what it is made of ({', '.join(parts)})" if parts else ""


def _touches_complex(node: fx.Node) -> bool:
    return any(map(is_complex, (node, *node.all_input_nodes)))


@dataclass
class _Walk:
    """The findings of a walk along the graph about each node."""

    captured: Captured
    preset: Preset
    registry: Registry
    places: Places
    alive: set[fx.Node]
    never_negative: frozenset[fx.Node]
    infinities: Infinities
    choices: Choices
    assigned: dict[fx.Node, Assignment] = field(default_factory=dict)
    stopped: dict[fx.Node, str] = field(default_factory=dict)
    gaps: dict[fx.Node, str] = field(default_factory=dict)
    regions: Regions = field(default_factory=Regions)

    def visit(self, node: fx.Node) -> None:
        if not any(operand in self.alive for operand in node.all_input_nodes):
            return
        if node in self.choices.constant:
            self.stopped[node] = self.choices.constant[node].value
        elif not holds_tensors(node):
            self._number(node)
        elif reason := next((why for why, found in _NO_CARRIERS.items() if found(node)), None):
            self._gap(node, reason)
        elif not is_floating(node):
            self.stopped[node] = "integer or boolean values carry no relevance"
        elif is_getitem(node):
            self.alive.add(node)
        elif is_loop_end(node):
            self._hand_on(node)
        elif getattr(node.target, "_schema", None) is None:
            self._gap(node, f"{target_name(node)} is not an ATen op")
        else:
            self._serve(node, bind(node.target, node.args, node.kwargs))

    def _hand_on(self, node: fx.Node) -> None:
        """Let relevance pass the ends of a recurrence's step, at which nothing is computed."""
        arguments = bind(node.target, node.args, node.kwargs)
        op = STEP_ENDS[node.target]
        states = operands_of(("states", "after"), arguments, fx.Node)
        if any(pick(arguments, state) not in self.alive for state in states):
            self._gap(node, NOT_AT_ALL_STEPS)
            return
        live = self._alive_among(op.operands, arguments)
        self.alive.add(node)
        self.assigned[node] = Assignment(node, op, HANDED_ON, {}, live, "every preset")

    def _number(self, node: fx.Node) -> None:
        """Let no relevance vanish in a Python number; a size never had any."""
        if any(map(holds_tensors, node.all_input_nodes)) and carries_values(node):
            self._gap(node, A_NUMBER)
        elif carries_values(node):
            self.alive.add(node)

    def _serve(self, node: fx.Node, arguments: Arguments) -> None:
        entering = self._alive_among(tuple(arguments), arguments)
        names = names_of(o for o in entering if carries_values(pick(arguments, o)))
        op = self.registry.find(node.target, arguments, names)
        if op is None:
            why = self.registry.explain_gap(node.target, arguments, names)
            return self._gap(node, A_DRAW if node in self.captured.draws else why)
        op = self.choices.with_slack(node, op)
        entry = self.preset.choose(node, op.family, self.places)
        if entry is None:
            return self._gap(
                node, f"preset {self.preset.name!r} has no rule for family {op.family!r}"
            )
        self._assign(node, op, entry, arguments)

    def _assign(self, node: fx.Node, op: Op, entry: PresetRow, arguments: Arguments) -> None:
        rule = self.registry.rules[op.family, entry.use]
        if rule.serves is not None and not rule.serves(op):
            return self._gap(node, f"rule {rule.name!r} of family {op.family!r} does not serve it")
        live = self._alive_among(rule.operands(op), arguments)
        if self.preset.gates:
            live = self.choices.quantisation.without_scales(node, arguments, live)
            live = self.regions.live_factors(op, arguments, live)
        if not live:
            self.stopped[node] = getattr(op, "reason", f"{op.family}: {rule.name} ({rule.cites})")
            return
        self.alive.add(node)
        terms = len(operands_of(op.operands, arguments, fx.Node)) + _scalars(op, arguments)
        self.regions.add(node, op, tuple(pick(arguments, o) for o in live), terms)
        signs = frozenset(o for o in live if pick(arguments, o) in self.never_negative)
        absorbs = self.infinities.needs_absorbing(op, arguments)
        self.assigned[node] = Assignment(
            node, op, rule, entry.parameters, live, entry.origin, signs, absorbs
        )

    def _alive_among(self, names: Iterable[str], arguments: Arguments) -> tuple[Operand, ...]:
        found = operands_of(tuple(names), arguments, fx.Node)
        return tuple(operand for operand in found if pick(arguments, operand) in self.alive)

    def _gap(self, node: fx.Node, reason: str) -> None:
        self.gaps[node] = reason
        self.alive.add(node)


def _scalars(op: Op, arguments: Arguments) -> int:
    """Count the operands given as plain numbers: constants that are added or multiplied."""
    return sum(
        isinstance(arguments.get(name), (int, float)) for name in ("other", *op.operands[1:])
    )


def assign(
    captured: Captured,
    preset: Preset,
    registry: Registry,
    wanted: Sources,
    output: OutputPort,
) -> Plan:
    """Assign a rule to every op between the sources and the output.

    Args:
        captured: A canonicalised model.
        preset: The rules to choose from.
        registry: The op records and rules.
        wanted: Where relevance is wanted; sources that it does not reach are left out of the plan.
        output: The output to explain.

    Raises:
        Uncovered: Ops have no rule; the error names all of them.
        SourceError: No source reaches the output.
        PresetError: A row names a module or node that is not there.
    """
    sources, places = wanted.ports, Places(captured.graph)
    _refuse_unplaced(preset, captured, places)
    signs = find_never_negative(captured.graph, registry)
    infinities = Infinities.of(captured, registry, signs)
    walk = _walk(captured, preset, registry, sources, places, infinities, signs)
    needed = _needed(walk, output.node)
    if preset.counts_positions():
        # What is first or last among the live ops is known only once it is known what is live.
        families = {n: a.op.family for n, a in walk.assigned.items() if n in needed}
        places = Places(captured.graph, families)
        walk = _walk(captured, preset, registry, sources, places, infinities, signs)
        needed = _needed(walk, output.node)
    gaps = {node: reason for node, reason in walk.gaps.items() if node in needed}
    if gaps:
        numbers = {node: reason for node, reason in gaps.items() if not holds_tensors(node)}
        raise Uncovered(numbers or gaps)  # without the number, its users may well be served
    reached = tuple(source for source in sources if source.node in needed)
    _refuse_unreached(walk, sources, reached, output)
    return Plan(
        captured=captured,
        preset=preset,
        registry=registry,
        sources=reached,
        output=output,
        assignments=tuple(a for node, a in walk.assigned.items() if node in needed),
        stopped=tuple(Stopped(n, r) for n, r in walk.stopped.items() if _meets(n, needed)),
        influence=_influence(walk, needed, wanted),
    )


def _influence(walk: _Walk, needed: set[fx.Node], wanted: Sources) -> Influence:
    """Say what the inputs are to this plan."""
    passing = needed.intersection(walk.assigned)
    follow = InfluenceWalk(
        walk.captured,
        walk.registry,
        needed,
        passing,
        walk.stopped,
        wanted.controls,
        walk.choices.rounded,
    )
    follow.start(InputKind.UNREACHED if wanted.by_default else InputKind.LEFT_OUT)
    return find_influence(follow, wanted.names_by_input(needed))


def _walk(
    captured: Captured,
    preset: Preset,
    registry: Registry,
    sources: tuple[SourcePort, ...],
    places: Places,
    infinities: Infinities,
    signs: frozenset[fx.Node],
) -> _Walk:
    alive = {source.node for source in sources}
    choices = find_choices(captured.graph, registry) if preset.gates else Choices()
    walk = _Walk(captured, preset, registry, places, alive, signs, infinities, choices)
    for node in captured.graph.nodes:
        if node in alive and is_below_two_bytes(node):
            walk.gaps[node] = BELOW_TWO_BYTES
        elif node.op == "call_function":
            walk.visit(node)
    return walk


def _refuse_unplaced(preset: Preset, captured: Captured, places: Places) -> None:
    """Refuse rows that name a module or node which is not there: that is a misspelling."""
    for row in preset.entries:
        lost = [p for p in (row.before, row.after) if p and not places.named(p)]
        if row.is_narrow() and not any(row.lies_at(node) for node in captured.graph.nodes):
            lost.append(row.module or row.node or row.type or "")
        if lost and not row.optional:
            raise PresetError(
                f"a row of preset {row.origin!r} names nothing in this model: {row.where()}"
                + _nearest(lost[0], captured)
            )


def _nearest(word: str, captured: Captured) -> str:
    nodes = list(captured.graph.nodes)
    kinds = {kind for node in nodes for _, kind in module_stack(node)}
    known = [*captured.modules, *(node.name for node in nodes), *sorted(kinds)]
    close = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _needed(walk: _Walk, output: fx.Node) -> set[fx.Node]:
    """Return the live nodes that relevance from the output arrives at."""

    def pass_on(node: fx.Node) -> Iterable[fx.Node]:
        if node in walk.assigned:
            arguments = bind(node.target, node.args, node.kwargs)
            return [pick(arguments, operand) for operand in walk.assigned[node].live]
        if node in walk.gaps or is_getitem(node) or not holds_tensors(node):
            return [n for n in node.all_input_nodes if n in walk.alive]
        return ()

    return set(closure([output] if output in walk.alive else [], pass_on))


def _meets(stopped: fx.Node, needed: set[fx.Node]) -> bool:
    """Return whether a stopped op reads something that relevance arrives at."""
    return any(operand in needed for operand in stopped.all_input_nodes)


def _refuse_unreached(
    walk: _Walk,
    sources: tuple[SourcePort, ...],
    reached: tuple[SourcePort, ...],
    output: OutputPort,
) -> None:
    if reached:
        return
    stops = [
        f"  {describe(node)}\n    {reason}" for node, reason in list(walk.stopped.items())[:10]
    ]
    raise SourceError(
        f"no path from output {output.name!r} back to {', '.join(s.name for s in sources)}"
        f" under preset {walk.preset.name!r}."
        + ("\nRelevance stops at:\n" + "\n".join(stops) if stops else "")
    )
