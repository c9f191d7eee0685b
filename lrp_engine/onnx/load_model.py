"""ONNX file -> OnnxModule: read, checked, constants folded."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import torch

from ..errors import TargetError
from .affine import join_biases
from .embedding_tables import dequantise_tables
from .file import OnnxModel, read
from .fold import fold
from .functions import functions_of
from .interpret import ImportScope, NodeMark, describe_refusal
from .limits import folding_quota
from .onnx_module import MARK, OnnxModule
from .op_table import load_op_table
from .ports import inputs_of, outputs_of
from .refusals import reason_for
from .steps import (
    OnnxGraph,
    OnnxStep,
    decode_graph,
    prune,
)
from .unsupported import Unsupported
from .values import as_constant


def load(path: str | Path) -> OnnxModule:
    """An ONNX file as a torch module.

    Raises OnnxFileError for a file that is damaged or asks for too much, and Unsupported, listing
    every node that has no entry in the op table.

    Example:
        >>> import onnx, tempfile, torch
        >>> model = onnx.parser.parse_model('''<ir_version: 8, opset_import: ["" : 17]>
        ...     g (float[n] x) => (float[n] y) <float[1] two = {2.0}> { y = Mul(x, two) }''')
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     onnx.save(model, folder + "/double.onnx")
        ...     module = load(folder + "/double.onnx")
        >>> module(torch.tensor([1.0, 2.0]))
        {'y': tensor([2., 4.])}
    """
    return build_module(read(path))


def with_output(module: OnnxModule, name: str) -> OnnxModule:
    """The same file with one more output: a value that a node of it computes.

    Raises TargetError if the file has no value of that name.
    """
    if name in module.graph.outputs:
        return module
    values = {value for node in module.model.proto.graph.node for value in node.output}
    if name not in values:
        close = difflib.get_close_matches(name, values | set(module.graph.outputs), n=3)
        hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
        raise TargetError(f"{module.file} computes no value {name!r}{hint}")
    return build_module(module.model, (name,))


def build_module(model: OnnxModel, more: tuple[str, ...] = ()) -> OnnxModule:
    """The same for a model that has been read and checked, with more of its values as outputs."""
    graph = decode_graph(model.proto.graph, model.tensor, constants=False)
    own, text = outputs_of(model.proto.graph)
    numbers = (*own, *more)
    ports = inputs_of(model.proto.graph, model.initializers)
    inputs = tuple(port.name for port in ports)
    graph = replace(graph, inputs=inputs, outputs=numbers, steps=prune(graph.steps, numbers))
    scope = _scope(model)
    _refuse_unknown(graph, scope, model.path.name)
    used = {name for step in graph.steps for name in step.uses} | set(numbers)
    constants = {n: as_constant(model.weight(n)) for n in model.initializers if n in used}
    graph = dequantise_tables(graph, constants)
    with torch.no_grad():
        folded = fold(graph, constants, scope, folding_quota(model.weight_bytes))
    folded = join_biases(folded)
    left_out = f"left out of the output, because it is text: {', '.join(text)}"
    return OnnxModule(model, folded, scope, ports, [left_out] if text else [])


def _scope(model: OnnxModel) -> ImportScope:
    opsets = {o.domain: o.version for o in model.proto.opset_import}
    opsets[""] = opsets.pop("ai.onnx", opsets.get("", 1))
    functions = functions_of(model.proto, model.tensor)
    return ImportScope(load_op_table(), opsets, functions, mark=_mark)


def _mark(path: tuple[NodeMark, ...]) -> AbstractContextManager[Any]:
    return torch.fx.traceback.annotate({MARK: path})


def _refuse_unknown(graph: OnnxGraph, scope: ImportScope, file: str) -> None:
    found = [
        describe_refusal(step, scope, reason_for(step.domain, step.op))
        for step in _every_step(graph)
        if not _is_known(step, scope)
    ]
    if found:
        raise Unsupported(found, file)


def _every_step(graph: OnnxGraph) -> Iterator[OnnxStep]:
    """The steps of a graph and of the graphs inside it."""
    for step in graph.steps:
        yield step
        for inner in step.attributes.values():
            if isinstance(inner, OnnxGraph):
                yield from _every_step(inner)


def _is_known(step: OnnxStep, scope: ImportScope) -> bool:
    if scope.entry(step) or (step.domain, step.op) in scope.functions:
        return True
    try:
        schema: Any = onnx.defs.get_schema(step.op, scope.opset(step.domain), step.domain)
    except onnx.defs.SchemaError:
        return False
    return schema.has_function or schema.has_context_dependent_function
