"""Choose what to explain: an output of the model, a value inside of it, or the scores."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence
from dataclasses import replace

from torch import fx
from torch.fx.node import Argument, Target

from ..capture import Captured, OutputPort
from ..errors import TargetError
from ..graphs.aten import FLATTEN, JOIN
from ..graphs.nodes import is_complex, is_floating, value
from ..graphs.tracing import run_without_data
from ..method.registry import Registry

SCORES = "scores"
ALL = "all"
NOT_THE_MODELS_OWN = (SCORES, ALL)


def choose_output(captured: Captured, registry: Registry, name: str | None) -> Captured:
    """Return the model with the chosen value as an output, if it is none yet, and with notes.

    Args:
        captured: The model.
        registry: Tells which ops make probabilities.
        name: An output's name, a module's path, a node's name, `scores`: what a final softmax
            or sigmoid reads, or `all`: all outputs, for a metric of them. Default: `logits` if
            there is one, else the first output.

    Raises:
        TargetError: there is no floating-point value of that name, or it is not clear which.
    """
    known = {port.name for port in floating_outputs(captured)}
    _refuse_complex(captured, name, known)
    if name == ALL and name not in known:
        return _join(captured)
    if name is not None and name not in known:
        node = _scores(captured, registry) if name == SCORES else _inner_value(captured, name)
        return _with_output(captured, name, node)
    port = find_output(captured, name)
    others = [p.name for p in floating_outputs(captured) if p is not port]
    notes = []
    if name is None and others:
        notes.append(
            f"explained is the output {port.name!r}; output= takes another: {', '.join(others)}"
        )
    if before_squashing(port.node, registry) is not None:
        notes.append(
            f"the output {port.name!r} ends in a softmax or sigmoid, which keeps most of the"
            " relevance; output='scores' explains what that reads"
        )
    return replace(captured, notes=(*captured.notes, *notes))


def find_output(captured: Captured, name: str | None) -> OutputPort:
    """Return the output to explain: by name; default `logits` if there is one, else the first.

    Raises TargetError if there is no such floating-point output.
    """
    ports = floating_outputs(captured)
    known = [p.name for p in ports]
    _refuse_complex(captured, name, known)
    if not ports:
        raise TargetError("the model returns no floating-point tensor: there is nothing to explain")
    wanted = name or ("logits" if "logits" in known else known[0])
    for port in ports:
        if port.name == wanted:
            return port
    raise TargetError(
        f"the model has no floating-point output {name!r}; choose from: {', '.join(known)}"
    )


def _refuse_complex(captured: Captured, name: str | None, known: Collection[str]) -> None:
    """Raise TargetError if what is to be explained is complex."""
    found = [p.name for p in captured.outputs if is_complex(p.node) and p.name not in known]
    if name in found or (name is None and found and not known):
        raise TargetError(
            f"the output {name or found[0]!r} is complex, and a complex number cannot be explained:"
            " let the model return its .abs(), .real or .imag"
        )


def floating_outputs(captured: Captured) -> list[OutputPort]:
    """Return the outputs that hold floating-point numbers."""
    return [p for p in captured.outputs if is_floating(p.node)]


def before_squashing(node: fx.Node, registry: Registry) -> fx.Node | None:
    """Return what a final softmax or sigmoid reads; None if the value is no probability.

    Ops behind it that only move entries are looked through.
    """
    while True:
        records = registry.records(node.target)
        live = [n for n in node.all_input_nodes if is_floating(n)]
        if not records or len(live) != 1:
            return None
        if any(op.squashes for op in records):
            return live[0]
        if not all(op.moves_entries for op in records):
            return None
        node = live[0]


def _scores(captured: Captured, registry: Registry) -> fx.Node:
    port = find_output(captured, None)
    found = before_squashing(port.node, registry)
    if found is None:
        raise TargetError(
            f"the output {port.name!r} does not end in a softmax or sigmoid, so there are no scores"
            " before it: explain the output itself"
        )
    return found


def _inner_value(captured: Captured, name: str) -> fx.Node:
    """Return the value of a module (`layers.3`, `shared@1` for its second call) or a node."""
    nodes = {n.name: n for n in captured.graph.nodes if n.op == "call_function" and is_floating(n)}
    results = [node for node in captured.modules.get(name, ()) if is_floating(node)]
    if len(results) > 1:
        raise TargetError(f"{name!r} returns {len(results)} values; choose one: {_names(results)}")
    if results or name in nodes:
        return results[0] if results else nodes[name]
    outputs = [port.name for port in floating_outputs(captured)]
    inner = [path for path, values in captured.modules.items() if values]
    close = difflib.get_close_matches(name, [*outputs, *inner, *nodes], n=3)
    hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
    raise TargetError(
        f"the model has no floating-point output {name!r}, nor a module or node of that name{hint}."
        f" Its outputs: {', '.join(outputs)}"
    )


def _names(nodes: Sequence[fx.Node]) -> str:
    return ", ".join(node.name for node in nodes)


def _join(captured: Captured) -> Captured:
    """Return the model with all its floating-point outputs, flattened, in one."""
    ports = floating_outputs(captured)
    if not ports:
        find_output(captured, None)  # raises the error
    if len(dtypes := {value(port.node).dtype for port in ports}) > 1:
        raise TargetError(f"outputs of different dtypes cannot be explained together: {dtypes}")
    graph = captured.graph
    (output,) = graph.find_nodes(op="output")
    with graph.inserting_before(output):
        flat = [_call(graph, FLATTEN, (port.node, 1)) for port in ports]
        joined = _call(graph, JOIN, (flat, 1))
    return _with_output(captured, ALL, joined, tuple(port.position for port in ports))


def _call(graph: fx.Graph, target: Target, args: tuple[Argument, ...]) -> fx.Node:
    assert callable(target)
    node = graph.call_function(target, args)
    node.meta["val"] = run_without_data(target, args, {})
    return node


def _with_output(
    captured: Captured, name: str, node: fx.Node, joins: tuple[int, ...] = ()
) -> Captured:
    """Return the model with one more output behind its own."""
    (output,) = captured.graph.find_nodes(op="output")
    leaves = output.args[0]
    assert isinstance(leaves, Sequence)
    port = OutputPort(name, node, len(leaves), joins)
    output.args = ([*leaves, node],)
    return replace(captured, outputs=(*captured.outputs, port))
