"""Import a checked ONNX model: drop what is not needed, fold constants, join biases.

`ImportedGraph` is all that `OnnxModule` needs to run the file with torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from types import MappingProxyType

import torch

from ..boundary.reading import fault_text
from ..errors import LrpError, OnnxFileError
from .affine import join_biases
from .bind import bind_inputs
from .code_types import name_code_types
from .embedding_tables import dequantise_tables
from .file import OnnxModel
from .fold import FoldedGraph, fold
from .functions import functions_of
from .interpret import MARK, ImportScope, NodeMark, describe_refusal
from .limits import folding_quota
from .node_checks import check_node, find_schema
from .op_table import load_op_table
from .ports import OnnxInput, inputs_of, outputs_of
from .refusals import reason_for
from .steps import OnnxGraph, OnnxStep, decode_graph, prune
from .unsupported import Refusal, Refused, Unsupported
from .values import as_constant


@dataclass(frozen=True)
class ImportedGraph:
    """A file's graph, ready to run: its steps and constants, its inputs, and what was left out."""

    model: OnnxModel
    folded: FoldedGraph
    scope: ImportScope
    inputs: tuple[OnnxInput, ...]
    notes: tuple[str, ...] = ()


def import_graph(
    model: OnnxModel,
    more_outputs: tuple[str, ...] = (),
    settings: Mapping[str, object] = MappingProxyType({}),
) -> ImportedGraph:
    """Return the graph of a checked model, with more of its values as outputs.

    Args:
        model: The file.
        more_outputs: Names of values that become outputs, too.
        settings: Inputs that are bound to constants.

    Raises:
        InputError: if a setting is no input, or does not fit it.
        Unsupported: with every node that has no entry in the op table.
        OnnxFileError: if the constants fold to more than the file may ask for.
    """
    try:
        return _import_graph(model, more_outputs, settings)
    except LrpError:
        raise
    except Exception as fault:  # whatever a file contradicts itself in that nobody foresaw
        name = model.path.name
        raise OnnxFileError(f"{name} cannot be imported: {fault_text(fault)}") from fault


def _import_graph(
    model: OnnxModel, more_outputs: tuple[str, ...], settings: Mapping[str, object]
) -> ImportedGraph:
    proto = model.proto.graph
    numbers, text = outputs_of(proto)
    declared = inputs_of(proto, model.initializers)
    bound = bind_inputs(declared, settings)
    inputs = tuple(port for port in declared if port.name not in bound)
    graph = _select(
        decode_graph(proto, model.tensor, constants=False), inputs, numbers, more_outputs
    )
    scope = _scope(model)
    _refuse_unknown(graph, scope, model.path.name)
    used = {name for step in graph.steps for name in step.uses} | set(graph.outputs)
    constants = {n: as_constant(model.weight(n)) for n in model.initializers if n in used}
    constants |= {name: as_constant(tensor) for name, tensor in bound.items() if name in used}
    graph = dequantise_tables(name_code_types(graph, proto), constants)
    with torch.no_grad():
        folded = fold(graph, constants, scope, folding_quota(model.weight_bytes))
    left_out = f"left out of the output, because it is text: {', '.join(text)}"
    notes: tuple[str, ...] = (left_out,) if text else ()
    if bound:
        notes += (f"bound to constants: {', '.join(f'{n} = {settings[n]}' for n in bound)}",)
    return ImportedGraph(model, join_biases(folded), scope, inputs, notes)


def _select(
    graph: OnnxGraph, inputs: tuple[OnnxInput, ...], own: tuple[str, ...], more: tuple[str, ...]
) -> OnnxGraph:
    """Keep the inputs that a caller gives, the outputs that are numbers, and what these need."""
    outputs = (*own, *more)
    names = tuple(port.name for port in inputs)
    return replace(graph, inputs=names, outputs=outputs, steps=prune(graph.steps, outputs))


def _scope(model: OnnxModel) -> ImportScope:
    opsets = {o.domain: o.version for o in model.proto.opset_import}
    opsets[""] = opsets.pop("ai.onnx", opsets.get("", 1))
    functions = functions_of(model.proto, model.tensor)
    return ImportScope(load_op_table(), opsets, functions, mark=_annotate)


def _annotate(path: tuple[NodeMark, ...]) -> AbstractContextManager[object]:
    return torch.fx.traceback.annotate({MARK: path})


def _refuse_unknown(graph: OnnxGraph, scope: ImportScope, file: str) -> None:
    found = [_refusal(step, scope) for step in _every_step(graph)]
    if refusals := [refusal for refusal in found if refusal is not None]:
        raise Unsupported(refusals, file)


def _refusal(step: OnnxStep, scope: ImportScope) -> Refusal | None:
    """Return why a node cannot be imported, as far as its values need not be known."""
    if not _is_known(step, scope):
        return describe_refusal(step, scope, reason_for(step.domain, step.op))
    if (step.domain, step.op) in scope.functions:
        return None  # what it is made of is checked
    try:
        check_node(step, scope.opset(step.domain))
    except Refused as refused:
        return describe_refusal(step, scope, str(refused))
    return None


def _every_step(graph: OnnxGraph) -> Iterator[OnnxStep]:
    """Yield the steps of a graph and of the graphs inside it."""
    for step in graph.steps:
        yield step
        for inner in step.attributes.values():
            if isinstance(inner, OnnxGraph):
                yield from _every_step(inner)


def _is_known(step: OnnxStep, scope: ImportScope) -> bool:
    if scope.entry(step) or (step.domain, step.op) in scope.functions:
        return True
    schema = find_schema(step.op, scope.opset(step.domain), step.domain)
    if schema is None:
        return False
    return bool(schema.has_function or schema.has_context_dependent_function)
