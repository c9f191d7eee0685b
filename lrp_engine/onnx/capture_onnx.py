"""Capture in the file's own names: how the module is called, and what its graph is called after."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor, fx
from torch.export import Dim

from ..capture import Captured
from ..capture.module_outputs import module_outputs
from ..capture.signature import as_call
from ..errors import InputError
from ..graphs.nodes import is_floating
from .interpret import MARK
from .ports import OnnxInput, free_axes, make_sizes_distinct

Tensors = tuple[Tensor, ...]


def plan_call(ports: Sequence[OnnxInput], given: Tensors, dynamic: Any) -> tuple[Tensors, Any]:
    """Return the call to show to torch.export, and which of its sizes stay open.

    Args:
        ports: The file's inputs.
        given: Tensors for them.
        dynamic: True leaves open what the file leaves open, False nothing; a mapping from input
            names goes to torch.export.
    """
    axes = free_axes(ports, given)
    if dynamic is True:
        open_axes = tuple(dict.fromkeys(own, Dim.AUTO) for own in axes)
        return make_sizes_distinct(given, axes), (open_axes,)
    if dynamic is False:
        return given, False
    return given, (tuple(dynamic.get(port.name) for port in ports),)


def order_inputs(ports: Sequence[OnnxInput], inputs: Any) -> Tensors:
    """Return the tensors of a call in the file's order.

    Args:
        ports: The file's inputs.
        inputs: A tensor, a tuple in the file's order, or a mapping by the file's input names.

    Raises:
        InputError: if one is missing, unknown or no tensor.
    """
    args, named = as_call(inputs)
    names = [port.name for port in ports]
    by_name = dict(zip(names, args, strict=False)) | named
    if set(by_name) != set(names) or len(args) + len(named) != len(names):
        have = [*(f"{len(args)} without a name" for _ in args[:1]), *named]
        raise InputError(f"the file's inputs are {', '.join(names)}; given: {', '.join(have)}")
    for name, tensor in by_name.items():
        if not isinstance(tensor, Tensor):
            raise InputError(f"input {name!r} is a {type(tensor).__name__}, not a tensor")
    return tuple(by_name[name] for name in names)


def restore_names(
    captured: Captured,
    ports: Sequence[OnnxInput],
    tensor_names: Mapping[str, str],
    notes: Sequence[str],
) -> Captured:
    """Rename inputs, weights, nodes and places after what they are called in the file.

    Args:
        captured: The capture of the module that a file became.
        ports: The file's inputs.
        tensor_names: From the module's names of its buffers to the file's.
        notes: Notes to add to those of the capture.
    """
    names = tuple(port.name for port in ports)
    for node in captured.graph.nodes:
        _set_place(node)
        if node.op == "get_attr":
            held = node.meta["tensor_name"]
            node.meta["tensor_name"] = tensor_names.get(held, held)
    pairs = zip(captured.inputs, names, strict=True)
    places = module_outputs(captured.graph)
    values = _values(places)
    _rename(values)
    return replace(
        captured,
        inputs=tuple(replace(port, name=name) for port, name in pairs),
        argument_names=names,
        modules={**{name: (node,) for name, node in values.items()}, **places},
        notes=(*captured.notes, *notes),
    )


def _set_place(node: fx.Node) -> None:
    """Put the ONNX nodes, outermost first, in place of the module stack and the source line."""
    node.meta.pop("stack_trace", None)
    node.meta["nn_module_stack"] = {
        name: (name, op) for name, op, _ in node.meta.get("custom", {}).get(MARK, ())
    }


def _values(places: Mapping[str, Sequence[fx.Node]]) -> dict[str, fx.Node]:
    """Return the node of each named value of the file, where it is clear which one holds it."""
    results: dict[tuple[str, ...], list[fx.Node]] = {}
    for place, nodes in places.items():
        for node in nodes:
            marks = node.meta["custom"][MARK]
            outputs: tuple[str, ...] = next((o for name, _, o in marks if name == place), ())
            results.setdefault(tuple(filter(None, outputs)), []).append(node)
    found: dict[str, fx.Node] = {}
    for names, nodes in results.items():
        if len(names) == len(nodes):
            found |= dict(zip(names, nodes, strict=True))
    return found


def _rename(values: Mapping[str, fx.Node]) -> None:
    """Name fx nodes after the file's values, so that programs and plans can be read."""
    for name, node in values.items():
        if is_floating(node):
            node._rename(_identifier(name))


def _identifier(name: str) -> str:
    readable = re.sub(r"\W+", "_", name).strip("_")
    return readable if readable and not readable[0].isdigit() else f"value_{readable}"
