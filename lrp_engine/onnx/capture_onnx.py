"""OnnxModule -> Captured: the capture of any torch module, in the file's own names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, fx
from torch.export import Dim

from ..capture import Captured, capture
from ..capture.module_outputs import module_outputs
from ..capture.signature import as_call
from ..errors import CaptureError, InputError
from ..graphs.nodes import is_floating
from .onnx_module import MARK, OnnxModule
from .ports import free_axes, make_example, make_sizes_distinct
from .unsupported import Unsupported


def capture_onnx(module: OnnxModule, inputs: Any = None, *, dynamic: Any = True) -> Captured:
    """Captures a file's graph. Axes that the file leaves open stay open, fixed ones stay fixed.

    inputs: a tensor, a tuple in the file's order, or a mapping by the file's input names; without
    them, the graph is traced at made-up inputs of the declared sizes.
    dynamic: False fixes every size; a mapping from input names goes to torch.export.

    Every node carries the name of the ONNX node that it comes from, as if that were a module.
    """
    given = make_example(module.ports) if inputs is None else _in_order(module, inputs)
    axes = free_axes(module.ports, given)
    example, shapes = given, dynamic
    if dynamic is True:
        example = make_sizes_distinct(given, axes)
        shapes = (tuple(dict.fromkeys(own, Dim.AUTO) for own in axes),)
    elif dynamic is not False:
        shapes = (tuple(dynamic.get(port.name) for port in module.ports),)
    try:
        with torch.fx.traceback.preserve_node_meta():
            captured = capture(module, given, dynamic=shapes, example=example)
    except CaptureError as error:
        if found := module.refusals(given):
            raise Unsupported(found, module.file) from error
        raise
    return restore_names(captured, module)


def _in_order(module: OnnxModule, inputs: Any) -> tuple[Tensor, ...]:
    args, named = as_call(inputs)
    names = [port.name for port in module.ports]
    by_name = dict(zip(names, args, strict=False)) | named
    if set(by_name) != set(names) or len(args) + len(named) != len(names):
        have = [*(f"{len(args)} without a name" for _ in args[:1]), *named]
        raise InputError(f"the file's inputs are {', '.join(names)}; given: {', '.join(have)}")
    for name, tensor in by_name.items():
        if not isinstance(tensor, Tensor):
            raise InputError(f"input {name!r} is a {type(tensor).__name__}, not a tensor")
    return tuple(by_name[name] for name in names)


def restore_names(captured: Captured, module: OnnxModule) -> Captured:
    """Inputs, weights, nodes and places under the names that they have in the file."""
    names = tuple(port.name for port in module.ports)
    for node in captured.graph.nodes:
        _place(node)
        if node.op == "get_attr":
            held = node.meta["tensor_name"]
            node.meta["tensor_name"] = module.names.get(held, held)
    ports = zip(captured.inputs, names, strict=True)
    places = module_outputs(captured.graph)
    values = _values(captured.graph, places)
    _rename(values)
    return replace(
        captured,
        inputs=tuple(replace(port, name=name) for port, name in ports),
        argument_names=names,
        modules={**{name: (node,) for name, node in values.items()}, **places},
        notes=(*captured.notes, *module.notes),
    )


def _place(node: fx.Node) -> None:
    """The ONNX nodes, outermost first, in the place of the module stack and the source line."""
    node.meta.pop("stack_trace", None)
    node.meta["nn_module_stack"] = {
        name: (name, op) for name, op, _ in node.meta.get("custom", {}).get(MARK, ())
    }


def _values(graph: fx.Graph, places: Mapping[str, Sequence[fx.Node]]) -> dict[str, fx.Node]:
    """The file's value names, where it is clear which node holds the value."""
    results: dict[tuple[str, ...], list[fx.Node]] = {}
    for place, nodes in places.items():
        for node in nodes:
            marks = node.meta["custom"][MARK]
            outputs = next((o for name, _, o in marks if name == place), ())
            results.setdefault(tuple(filter(None, outputs)), []).append(node)
    found: dict[str, fx.Node] = {}
    for names, nodes in results.items():
        if len(names) == len(nodes):
            found |= dict(zip(names, nodes, strict=True))
    return found


def _rename(values: Mapping[str, fx.Node]) -> None:
    """fx's own names after the file's values, so that programs and plans can be read."""
    for name, node in values.items():
        if is_floating(node):
            node._rename(_identifier(name))


def _identifier(name: str) -> str:
    readable = re.sub(r"\W+", "_", name).strip("_")
    return readable if readable and not readable[0].isdigit() else f"value_{readable}"
