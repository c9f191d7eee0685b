"""Keep the range of 4-bit and 2-bit codes, which torch has no types for.

Zero points of such a type become tensors of 8 bits. The op that quantises to their type gets it as
its attribute `output_dtype` instead.
"""

from __future__ import annotations

from dataclasses import replace

from onnx import GraphProto

from .steps import OnnxGraph, OnnxStep
from .tensors import SUB_BYTE


def name_code_types(graph: OnnxGraph, proto: GraphProto) -> OnnxGraph:
    """Name the type of codes at every op that quantises to the type of its zero point."""
    types = {tensor.name: tensor.data_type for tensor in proto.initializer}
    for node in proto.node:
        found = [a.t.data_type for a in node.attribute if a.name == "value" and a.HasField("t")]
        if node.op_type == "Constant" and found:
            types[node.output[0]] = found[0]
    small = {name: kind for name, kind in types.items() if kind in SUB_BYTE}
    return replace(graph, steps=tuple(_named(step, small) for step in graph.steps))


def _named(step: OnnxStep, small: dict[str, int]) -> OnnxStep:
    kind = small.get(step.inputs[2]) if len(step.inputs) > 2 else None
    if step.op != "QuantizeLinear" or kind is None or step.attributes.get("output_dtype"):
        return step
    return replace(step, attributes={**step.attributes, "output_dtype": kind})
