"""Check a node before its entry sees it: inputs, types and ranges of attributes.

ONNX's own schema of the op says how many inputs a node needs and what type each attribute has;
`attribute_ranges.py` says which whole numbers are allowed.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import onnx
from onnx import AttributeProto
from torch import Tensor

from .attribute_ranges import range_of
from .steps import OnnxStep
from .unsupported import Refused
from .values import HostArray, OnnxValue

_SINGLE = onnx.defs.OpSchema.FormalParameterOption.Single


@lru_cache(maxsize=4096)
def find_schema(op: str, opset: int, domain: str) -> Any:
    """Return ONNX's schema of an op at an opset; None if there is none.

    Untyped, because onnx's stubs leave out what a schema says about function bodies.
    """
    try:
        return onnx.defs.get_schema(op, opset, domain)
    except (onnx.defs.SchemaError, TypeError):  # the second: an opset beyond 32 bits
        return None


def check_node(
    step: OnnxStep, opset: int, inputs: Sequence[OnnxValue | None] | None = None
) -> None:
    """Raise Refused unless a node fits ONNX's schema of its op.

    Args:
        step: The node.
        opset: The version of its domain.
        inputs: The values that it reads, as far as they are known: axes are counted on the first.
    """
    schema = find_schema(step.op, opset, step.domain)
    if schema is not None:
        _check_inputs(step, schema)
        _check_types(step, schema)
    rank = _rank(inputs[0]) if inputs else None
    for name, value in step.attributes.items():
        allowed = range_of(step.op, name)
        numbers = value if isinstance(value, tuple) else (value,)
        whole = [] if allowed is None else [n for n in numbers if type(n) is int]
        for fault in filter(None, (allowed.fault(n, rank) for n in whole if allowed)):
            raise Refused(f"attribute {name!r} {fault}")


def _check_inputs(step: OnnxStep, schema: Any) -> None:
    if not schema.min_input <= len(step.inputs) <= schema.max_input:
        raise Refused(f"it has {len(step.inputs)} inputs, and needs {schema.min_input} or more")
    for name, port in zip(step.inputs, schema.inputs, strict=False):
        if not name and port.option == _SINGLE:
            raise Refused(f"its input {port.name!r} is left out, which it needs")


def _check_types(step: OnnxStep, schema: Any) -> None:
    for attribute in step.proto.attribute:
        declared = schema.attributes.get(attribute.name)
        if declared is None:
            continue  # the entry says what it makes of it
        wanted = int(getattr(declared.type, "value", declared.type))
        if attribute.type != wanted:
            names = AttributeProto.AttributeType.Name
            raise Refused(
                f"attribute {attribute.name!r} is of type {_type_name(attribute.type)},"
                f" and has to be {names(wanted)}"
            )


def _type_name(code: int) -> str:
    known = AttributeProto.AttributeType.DESCRIPTOR.values_by_number.get(code)
    return known.name if known else str(code)


def _rank(value: OnnxValue | None) -> int | None:
    if isinstance(value, Tensor):
        return value.dim()
    return value.array.ndim if isinstance(value, HostArray) else None
