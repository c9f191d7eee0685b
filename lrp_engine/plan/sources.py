"""Find where relevance is wanted: inputs, embeddings of token ids, module results, nodes."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from torch import Tensor, fx

from ..capture import Captured, InputPort
from ..errors import SourceError
from ..graphs.nodes import is_floating, value
from ..method.registry import Registry
from .chosen_entries import ChosenEntries, choose_entries
from .entries import Origins, walk_inputs
from .plan import SourcePort


@dataclass(frozen=True)
class Sources:
    """Hold the places where relevance is wanted, and what is known of the inputs.

    `origins` are the names of the inputs that a source explains. `controls` are floating-point
    values that are computed from integers or booleans and only scale what others contribute.
    `by_default`: nobody chose; all inputs are meant.
    """

    ports: tuple[SourcePort, ...]
    origins: Mapping[fx.Node, Origins] = field(default_factory=dict)
    controls: frozenset[fx.Node] = frozenset()
    by_default: bool = False

    def names_by_input(self, reached: Collection[fx.Node]) -> dict[str, tuple[str, ...]]:
        """Return, for every input that is explained, the names of its sources that are reached."""
        found: dict[str, tuple[str, ...]] = {}
        for port in self.ports:
            for name in self.origins.get(port.node, ()) if port.node in reached else ():
                found[name] = (*found.get(name, ()), port.name)
        return found


def resolve_sources(
    captured: Captured, registry: Registry, names: Sequence[str] | None, output: fx.Node
) -> Sources:
    """Find the sources of relevance by name.

    Args:
        captured: A captured model.
        registry: The op records, which tell what an op does with its arguments.
        names: Names of inputs, module paths or globs, names of nodes. Default: every input. An
            input that carries no relevance itself (integers, booleans) stands for the values at
            which it enters the floating-point arithmetic: its embeddings, its casts.
        output: The explained output.

    Raises:
        SourceError: A name matches nothing, or an input cannot carry relevance.
    """
    inputs = _Inputs.of(captured, registry, output)
    controls = inputs.chosen.controls
    if names is None:
        found = inputs.all_ports()
        if not found:
            raise SourceError(
                "no input can carry relevance: there is no floating-point input, and no integer or"
                " boolean input enters the arithmetic as an embedding or as a number that adds to"
                " the output. Name a module path or a node as source."
            )
        return Sources(found, inputs.origins(), controls, by_default=True)
    several = [names] if isinstance(names, str) else names
    return Sources(
        tuple(s for name in several for s in _named(inputs, name)), inputs.origins(), controls
    )


@dataclass(frozen=True)
class _Inputs:
    """A captured model, and the entries of its inputs that are sources."""

    captured: Captured
    chosen: ChosenEntries

    @classmethod
    def of(cls, captured: Captured, registry: Registry, output: fx.Node) -> _Inputs:
        return cls(captured, choose_entries(walk_inputs(captured, registry), output))

    def origins(self) -> dict[fx.Node, Origins]:
        """Return the inputs that each possible source explains."""
        ports = {port.node: frozenset([port.name]) for port in self.captured.inputs}
        return ports | {entry.node: entry.origins for entry in self.chosen.sources}

    def all_ports(self) -> tuple[SourcePort, ...]:
        """Return the sources of every input; an entry of several inputs belongs to the first."""
        found: dict[fx.Node, SourcePort] = {}
        for port in self.captured.inputs:
            new = (s for s in self.ports_of(port) if s.node not in found)
            found |= {source.node: source for source in new}
        return tuple(found.values())

    def ports_of(self, port: InputPort) -> tuple[SourcePort, ...]:
        """Return a floating-point input itself, and the entries that its values determine."""
        entries = [e.node for e in self.chosen.sources if port.name in e.origins]
        numbered = tuple(SourcePort(f"{port.name}:{i}", node) for i, node in enumerate(entries))
        if isinstance(value(port.node), Tensor) and is_floating(port.node):
            return (SourcePort(port.name, port.node), *numbered)
        return (SourcePort(port.name, entries[0]),) if len(entries) == 1 else numbered


def _named(inputs: _Inputs, name: str) -> tuple[SourcePort, ...]:
    captured = inputs.captured
    for port in captured.inputs:
        if port.name == name:
            return _explicit_input(inputs, port)
    modules = [path for path in captured.modules if fnmatchcase(path, name)]
    if modules:
        return tuple(s for path in modules for s in _module_sources(captured, path))
    entries = [s for s in inputs.all_ports() if s.name == name]
    if entries:
        return tuple(entries)
    for node in captured.graph.nodes:
        if node.name == name and node.op == "call_function":
            if not is_floating(node):
                raise SourceError(f"node {name!r} is not floating-point: it cannot carry relevance")
            return (SourcePort(name, node),)
    known = [p.name for p in captured.inputs] + list(captured.modules)
    raise SourceError(
        f"source {name!r} is no input, module path or node{explain_absence(captured, name, known)}"
    )


def _explicit_input(inputs: _Inputs, port: InputPort) -> tuple[SourcePort, ...]:
    found = inputs.ports_of(port)
    if not found:
        raise SourceError(
            f"input {port.name!r} holds integers or booleans that are neither looked up in a table"
            " nor add to the output as numbers: relevance at them is not defined. Name the module"
            " or node to stop at instead."
        )
    return found


def _module_sources(captured: Captured, path: str) -> tuple[SourcePort, ...]:
    nodes = captured.modules[path]
    if len(nodes) == 1:
        return (SourcePort(path, nodes[0]),)
    return tuple(SourcePort(f"{path}:{i}", node) for i, node in enumerate(nodes))


def explain_absence(captured: Captured, name: str, known: Sequence[str]) -> str:
    """Say why a module has no value here, or which names are close to one that nothing has."""
    held = captured.premises.modules if captured.premises else ()
    if name in (path for path, _ in held):
        return (
            ": the model has a module of this name, but calls it nowhere under these settings, or"
            " it returns nothing that the output is computed from"
        )
    close = difflib.get_close_matches(name, known, n=3)
    return f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
