"""Refuse ONNX models that are not well-formed before anything is built from them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from google.protobuf.message import Message
from onnx import (
    AttributeProto,
    FunctionProto,
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    ValueInfoProto,
)

from ..errors import OnnxFileError
from .limits import MAX_NODES
from .tensors import type_name

FunctionKey = tuple[str, str, str]


def check_model(model: ModelProto) -> None:
    """Raise OnnxFileError unless names are unique, values known before use, functions acyclic."""
    if not model.HasField("graph"):
        raise OnnxFileError("it is not an ONNX model: it holds no graph")
    _check_text(model)
    if not model.opset_import:
        raise OnnxFileError("it names no opset, so its ops have no meaning")
    if not model.graph.output:
        raise OnnxFileError("its graph has no outputs")
    _check_graph(model.graph, (), also_inputs=True)
    functions = _functions(model)
    for function in functions.values():
        _check_body(function.node, [set(function.input)], function.output, function.name)
    _check_size(model.graph, functions)


def _check_text(message: Message) -> None:
    """Raise OnnxFileError for bytes that are no text, which protobuf does not refuse."""
    for field, value in message.ListFields():
        values = value if field.is_repeated else [value]
        if field.type == field.TYPE_MESSAGE:
            for inner in values:
                _check_text(inner)
        elif field.type == field.TYPE_STRING:
            for text in values:
                if not isinstance(text, str):
                    raise OnnxFileError(f"its {field.name} {text[:40]!r} is no text")


def tensors_in(model: ModelProto) -> Iterator[TensorProto]:
    """Yield every tensor of the model: initialisers, attributes; in subgraphs and functions too."""
    yield from _tensors_of_graph(model.graph)
    for function in model.functions:
        yield from _tensors_of_nodes(function.node)


def _tensors_of_graph(graph: GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    yield from _tensors_of_nodes(graph.node)


def _tensors_of_nodes(nodes: Iterable[NodeProto]) -> Iterator[TensorProto]:
    for node in nodes:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
        for graph in _subgraphs(node):
            yield from _tensors_of_graph(graph)


def _subgraphs(node: NodeProto) -> Iterator[GraphProto]:
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH or attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def node_label(node: NodeProto) -> str:
    """Return what errors call a node: op and name, or its first output if it has no name."""
    return f"{node.op_type} {node.name or next(iter(node.output), '')!r}"


def _check_graph(graph: GraphProto, outer: tuple[set[str], ...], also_inputs: bool) -> None:
    """Check one graph's names. The top graph's inputs may be initialisers too, as before IR 4."""
    if graph.sparse_initializer:
        raise OnnxFileError("sparse initialisers are not supported; store them as dense tensors")
    for value in (*graph.input, *graph.output):
        _check_type(value)
    inputs = _unique((value.name for value in graph.input), "input")
    weights = _unique((tensor.name for tensor in graph.initializer), "initialiser")
    if not also_inputs and inputs & weights:
        raise OnnxFileError(f"{sorted(inputs & weights)[0]!r} is an input and an initialiser")
    outputs = [value.name for value in graph.output]
    _check_body(graph.node, [*outer, inputs | weights], outputs, graph.name)


def _check_type(value: ValueInfoProto) -> None:
    if not value.type.HasField("tensor_type"):
        return
    tensor = value.type.tensor_type
    if tensor.elem_type not in TensorProto.DataType.values():
        raise OnnxFileError(f"{value.name!r} has elements of type {type_name(tensor.elem_type)}")
    for dim in tensor.shape.dim:
        if dim.HasField("dim_value") and dim.dim_value < -1:  # -1: free, to some exporters
            raise OnnxFileError(f"{value.name!r} has a negative size, {dim.dim_value}")


def _unique(names: Iterable[str], what: str) -> set[str]:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise OnnxFileError(f"two {what}s are called {name!r}")
        seen.add(name)
    return seen


def _check_body(
    nodes: Iterable[NodeProto], scopes: list[set[str]], outputs: Iterable[str], where: str
) -> None:
    """Check that every value is written once, and before it is read."""
    here = scopes[-1]
    for node in nodes:
        for name in filter(None, node.input):
            if not any(name in scope for scope in scopes):
                raise OnnxFileError(
                    f"{node_label(node)} reads {name!r}, which nothing before it computes"
                )
        for graph in _subgraphs(node):
            _check_graph(graph, tuple(scopes), also_inputs=False)
        for name in filter(None, node.output):
            if name in here:
                raise OnnxFileError(f"two values are called {name!r}, one from {node_label(node)}")
            here.add(name)
    for name in outputs:
        if not any(name in scope for scope in scopes):
            raise OnnxFileError(f"nothing computes the output {name!r} of {where!r}")


def _key(domain: str, name: str, overload: str) -> FunctionKey:
    return ("" if domain == "ai.onnx" else domain, name, overload)


def _functions(model: ModelProto) -> dict[FunctionKey, FunctionProto]:
    found: dict[FunctionKey, FunctionProto] = {}
    for function in model.functions:
        key = _key(function.domain, function.name, function.overload)
        if key in found:
            raise OnnxFileError(f"two functions are called {function.name!r}")
        _unique(function.input, "function input")
        found[key] = function
    return found


def _check_size(graph: GraphProto, functions: dict[FunctionKey, FunctionProto]) -> None:
    """Check that no function calls itself, and that the expanded model stays small."""
    sizes: dict[FunctionKey, int] = {}

    def size(nodes: Iterable[NodeProto]) -> int:
        return sum(
            sizes.get(_key(node.domain, node.op_type, node.overload), 1)
            + sum(size(inner.node) for inner in _subgraphs(node))
            for node in nodes
        )

    for key in _callees_first(functions):
        sizes[key] = size(functions[key].node)
    total = size(graph.node)
    if total > MAX_NODES:
        raise OnnxFileError(
            f"expanded, its functions come to {total:,} nodes; {MAX_NODES:,} are allowed"
        )


def _callees_first(functions: dict[FunctionKey, FunctionProto]) -> list[FunctionKey]:
    """Return the functions, each behind those that it calls. Raises OnnxFileError on a cycle."""
    calls = {key: _calls(function.node, functions) for key, function in functions.items()}
    order: list[FunctionKey] = []
    done: set[FunctionKey] = set()
    for root in calls:
        _visit(root, calls, order, done)
    return order


def _visit(
    root: FunctionKey,
    calls: dict[FunctionKey, list[FunctionKey]],
    order: list[FunctionKey],
    done: set[FunctionKey],
) -> None:
    """Visit depth first, without recursion: a file decides how long the chain is."""
    open_: dict[FunctionKey, int] = {root: 0} if root not in done else {}
    while open_:
        key = next(reversed(open_))
        if open_[key] == len(calls[key]):
            done.add(key)
            order.append(key)
            del open_[key]
            continue
        callee = calls[key][open_[key]]
        open_[key] += 1
        if callee in open_:
            raise OnnxFileError(f"function {callee[1]!r} calls itself")
        if callee not in done:
            open_[callee] = 0


def _calls(
    nodes: Iterable[NodeProto], functions: dict[FunctionKey, FunctionProto]
) -> list[FunctionKey]:
    """Return the functions that these nodes call, in subgraphs too, each once."""
    found: dict[FunctionKey, None] = {}
    for node in nodes:
        key = _key(node.domain, node.op_type, node.overload)
        inner = [k for graph in _subgraphs(node) for k in _calls(graph.node, functions)]
        found.update(dict.fromkeys([*([key] if key in functions else []), *inner]))
    return list(found)
