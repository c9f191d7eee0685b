"""Decode a protobuf graph into immutable steps: names, attributes, and when to drop a value."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

import onnx
from onnx import AttributeProto, GraphProto, NodeProto, TensorProto
from torch import Tensor

from .unsupported import Refused
from .values import OnnxValue, as_constant

ReadTensor = Callable[[TensorProto], Tensor]


@dataclass(frozen=True, eq=False)
class OnnxStep:
    """One node: inputs and outputs by name ("" for one left out), attributes as Python values.

    `captures` are the outer names that its subgraphs use, `drops` the names not needed after it.
    """

    op: str
    domain: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, object]
    proto: NodeProto = field(repr=False)
    captures: tuple[str, ...] = ()
    drops: tuple[str, ...] = ()

    @property
    def uses(self) -> tuple[str, ...]:
        """All names that it reads."""
        return (*(name for name in self.inputs if name), *self.captures)


@dataclass(frozen=True, eq=False)
class OnnxGraph:
    """Steps in order; `constants` are the initializers of a subgraph, by name."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    steps: tuple[OnnxStep, ...]
    constants: Mapping[str, OnnxValue] = field(default_factory=dict)

    @property
    def captures(self) -> tuple[str, ...]:
        """Names that it reads from around it."""
        own = {*self.inputs, *self.constants}
        found: dict[str, None] = {}
        for step in self.steps:
            found |= dict.fromkeys(name for name in step.uses if name not in own)
            own.update(step.outputs)
        found |= dict.fromkeys(name for name in self.outputs if name not in own)
        return tuple(found)


def decode_graph(
    proto: GraphProto,
    read: ReadTensor,
    given: Mapping[str, object] | None = None,
    *,
    constants: bool = True,
) -> OnnxGraph:
    """Decode a graph; with `constants`, its initializers too (the top graph's stay outside)."""
    held = {t.name: as_constant(read(t)) for t in proto.initializer} if constants else {}
    steps = [decode_step(node, i, read, given) for i, node in enumerate(proto.node)]
    inputs = tuple(i.name for i in proto.input)
    return OnnxGraph(
        proto.name,
        inputs,
        tuple(o.name for o in proto.output),
        prune(steps, [o.name for o in proto.output]),
        held,
    )


def decode_step(
    node: NodeProto, index: int, read: ReadTensor, given: Mapping[str, object] | None = None
) -> OnnxStep:
    """Decode a node; `given` are the attributes of the function that it lies in."""
    attributes: dict[str, object] = {}
    for proto in node.attribute:
        if proto.ref_attr_name:
            if proto.ref_attr_name in (given or {}):
                attributes[proto.name] = (given or {})[proto.ref_attr_name]
        else:
            attributes[proto.name] = decode_attribute(proto, read, given)
    graphs = [a for a in attributes.values() if isinstance(a, OnnxGraph)]
    captures = dict.fromkeys(name for graph in graphs for name in graph.captures)
    return OnnxStep(
        node.op_type,
        "" if node.domain == "ai.onnx" else node.domain,
        node.name or f"{node.op_type}_{index}",
        tuple(node.input),
        tuple(node.output),
        attributes,
        node,
        tuple(captures),
    )


def decode_attribute(
    proto: AttributeProto, read: ReadTensor, given: Mapping[str, object] | None = None
) -> object:
    """Return an attribute as a number, text, tuple, value or graph."""
    kind = AttributeProto.AttributeType.Name(proto.type)
    match kind:
        case "TENSOR":
            return _readable(proto.t, read)
        case "GRAPH":
            return decode_graph(proto.g, read, given)
        case "STRING":
            return proto.s.decode("utf-8", "replace")
        case "STRINGS":
            return tuple(text.decode("utf-8", "replace") for text in proto.strings)
        case "FLOAT" | "INT":
            return onnx.helper.get_attribute_value(proto)
        case "FLOATS" | "INTS":
            return tuple(onnx.helper.get_attribute_value(proto))
    return UnreadAttribute(kind)


@dataclass(frozen=True)
class UnreadAttribute:
    """An attribute of a kind that no entry takes; it is refused where it is used."""

    kind: str


def _readable(proto: TensorProto, read: ReadTensor) -> object:
    try:
        return as_constant(read(proto))
    except Refused as refused:
        return UnreadAttribute(str(refused))


def prune(steps: Iterable[OnnxStep], outputs: Iterable[str]) -> tuple[OnnxStep, ...]:
    """Keep the steps that the outputs need, each with the names that nothing needs after it."""
    needed, kept = set(outputs), []
    for step in reversed(list(steps)):
        if needed.isdisjoint(step.outputs):
            continue
        drops = {name for name in (*step.uses, *step.outputs) if name and name not in needed}
        kept.append(replace(step, drops=tuple(drops)))
        needed.update(step.uses)
    return tuple(reversed(kept))
