"""Expand ops that are made of other ops: by the file's functions or ONNX's own op schemas."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

import onnx
import torch
from onnx import FunctionProto, ModelProto
from torch.utils._python_dispatch import _disable_current_modes

from .node_checks import find_schema
from .steps import (
    OnnxGraph,
    OnnxStep,
    ReadTensor,
    decode_attribute,
    decode_step,
    prune,
)
from .tensors import TORCH_DTYPES, tensor_of
from .unsupported import Refused
from .values import HostArray, OnnxValue

_CODES = {dtype: code for code, dtype in TORCH_DTYPES.items()}


@dataclass(frozen=True, eq=False)
class OnnxFunction:
    """A function's body, with the opsets that it is written in."""

    proto: FunctionProto
    read: ReadTensor
    opsets: Mapping[str, int]

    def body(self, attributes: Mapping[str, object]) -> OnnxGraph:
        """Return the body for a call with these attributes."""
        with _untraced():
            return self._body(attributes)

    def _body(self, attributes: Mapping[str, object]) -> OnnxGraph:
        given = {a.name: decode_attribute(a, self.read) for a in self.proto.attribute_proto}
        given |= attributes
        steps = [decode_step(node, i, self.read, given) for i, node in enumerate(self.proto.node)]
        outputs = tuple(self.proto.output)
        return OnnxGraph(self.proto.name, tuple(self.proto.input), outputs, prune(steps, outputs))


@contextmanager
def _untraced() -> Iterator[None]:
    """Suspend tracing, so that constants read meanwhile are real tensors and no traced ones."""
    with _disable_current_modes(), torch._C.DisableTorchFunction():
        yield


def functions_of(model: ModelProto, read: ReadTensor) -> dict[tuple[str, str], OnnxFunction]:
    """Return the file's own functions by (domain, name)."""
    return {(f.domain, f.name): _function(f, read) for f in model.functions}


def find_local_function(
    step: OnnxStep, functions: Mapping[tuple[str, str], OnnxFunction]
) -> OnnxFunction | None:
    """Return the file's own function for a step; None if there is none."""
    return functions.get((step.domain, step.op))


def find_schema_function(
    step: OnnxStep, opset: int, inputs: tuple[OnnxValue | None, ...]
) -> OnnxFunction | None:
    """Return the body that the op's schema gives at this opset, for inputs of these types."""
    schema = find_schema(step.op, opset, step.domain)
    if schema is None:
        return None
    if schema.has_function:
        versions = schema.function_opset_versions
        wanted = max((v for v in versions if v <= opset), default=versions[0])
        return _parsed(schema.get_function_with_opset_version(wanted))
    if schema.has_context_dependent_function:
        versions = schema.context_dependent_function_opset_versions
        wanted = max((v for v in versions if v <= opset), default=versions[0])
        types = [_type_of(value).SerializeToString() for value in inputs]
        body = schema.get_context_dependent_function_with_opset_version(
            wanted, step.proto.SerializeToString(), types
        )
        return _parsed(body)
    return None


@lru_cache(maxsize=256)
def _parsed(body: bytes) -> OnnxFunction:
    return _function(FunctionProto.FromString(body), lambda proto: tensor_of(proto, {}))


def _function(proto: FunctionProto, read: ReadTensor) -> OnnxFunction:
    opsets = {"" if o.domain == "ai.onnx" else o.domain: o.version for o in proto.opset_import}
    return OnnxFunction(proto, read, opsets)


def _type_of(value: OnnxValue | None) -> onnx.TypeProto:
    """Return what a body may ask about an input: element type, and sizes where they are known."""
    if value is None:
        return onnx.TypeProto()
    if isinstance(value, tuple):
        raise Refused("a sequence cannot be given to this op")
    if value.dtype not in _CODES:
        raise Refused(f"values of {value.dtype} cannot be given to this op")
    shape = value.array.shape if isinstance(value, HostArray) else value.shape
    sizes = [size if isinstance(size, int) else None for size in shape]
    return onnx.helper.make_tensor_type_proto(_CODES[value.dtype], sizes)
