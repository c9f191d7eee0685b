"""Find where relevance is wanted: inputs, embeddings of token ids, module results, nodes."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from torch import Tensor, fx

from ..capture import Captured, InputPort
from ..errors import SourceError
from ..graphs.nodes import is_floating, value
from ..graphs.schema import bind
from ..method.op import Lookup
from ..method.registry import Registry
from .plan import SourcePort


def resolve_sources(
    captured: Captured, registry: Registry, names: Sequence[str] | None
) -> tuple[SourcePort, ...]:
    """Find the sources of relevance by name.

    Args:
        captured: A captured model.
        registry: The op records, which tell look-ups in a table.
        names: Names of inputs, module paths or globs, names of nodes. Default: every input. An
            integer input stands for the embedding that it is looked up in.

    Raises:
        SourceError: A name matches nothing, or an input cannot carry relevance.
    """
    if names is None:
        found = [s for port in captured.inputs for s in _input_sources(captured, registry, port)]
        if not found:
            raise SourceError(
                "no input can carry relevance: there is no floating-point input and no embedding"
                " of an integer input. Name a module path or a node as source."
            )
        return tuple(found)
    several = [names] if isinstance(names, str) else names
    return tuple(s for name in several for s in _named(captured, registry, name))


def _named(captured: Captured, registry: Registry, name: str) -> tuple[SourcePort, ...]:
    for port in captured.inputs:
        if port.name == name:
            return _explicit_input(captured, registry, port)
    modules = [path for path in captured.modules if fnmatchcase(path, name)]
    if modules:
        return tuple(s for path in modules for s in _module_sources(captured, path))
    for node in captured.graph.nodes:
        if node.name == name and node.op == "call_function":
            if not is_floating(node):
                raise SourceError(f"node {name!r} is not floating-point: it cannot carry relevance")
            return (SourcePort(name, node),)
    raise SourceError(f"source {name!r} is no input, module path or node{_hint(captured, name)}")


def _explicit_input(
    captured: Captured, registry: Registry, port: InputPort
) -> tuple[SourcePort, ...]:
    found = _input_sources(captured, registry, port)
    if not found:
        raise SourceError(
            f"input {port.name!r} holds integers and no embedding looks them up directly:"
            " relevance at integers is not defined. Name the module or node to stop at instead."
        )
    return found


def _input_sources(
    captured: Captured, registry: Registry, port: InputPort
) -> tuple[SourcePort, ...]:
    """Return a floating-point input itself, or the rows that an integer input looks up."""
    fake = value(port.node)
    if not isinstance(fake, Tensor):
        return ()
    if fake.dtype.is_floating_point:
        return (SourcePort(port.name, port.node),)
    rows = tuple(_lookups(registry, port.node))
    if len(rows) == 1:
        return (SourcePort(port.name, rows[0]),)
    return tuple(SourcePort(f"{port.name}:{i}", node) for i, node in enumerate(rows))


def _lookups(registry: Registry, indices: fx.Node) -> Iterable[fx.Node]:
    """Yield the table look-ups that use these indices as they are, or reshaped."""
    for user in indices.users:
        if getattr(user.target, "_schema", None) is None:
            continue
        arguments = bind(user.target, user.args, user.kwargs)
        op = registry.find(user.target, arguments, frozenset())
        if isinstance(op, Lookup) and arguments[op.indices] is indices:
            yield user
        elif op is not None and op.moves_entries:
            yield from _lookups(registry, user)


def _module_sources(captured: Captured, path: str) -> tuple[SourcePort, ...]:
    nodes = captured.modules[path]
    if len(nodes) == 1:
        return (SourcePort(path, nodes[0]),)
    return tuple(SourcePort(f"{path}:{i}", node) for i, node in enumerate(nodes))


def _hint(captured: Captured, name: str) -> str:
    known = [p.name for p in captured.inputs] + list(captured.modules)
    close = difflib.get_close_matches(name, known, n=3)
    return f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
