"""Runs an ONNX file through onnxruntime and through capture, and compares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper

from lrp_engine.onnx import load

Arrays = Mapping[str, np.ndarray]


def one_node(
    op: str,
    inputs: Arrays,
    weights: Arrays,
    order: Sequence[str],
    *,
    outputs: int = 1,
    opset: int = 20,
    domain: str = "",
    output_types: Sequence[int] = (),
    **attributes: Any,
) -> onnx.ModelProto:
    """A model of one node; `order` are its inputs, "" for one left out."""
    names = [f"y{i}" for i in range(outputs)]
    node = helper.make_node(op, list(order), names, name="node", domain=domain, **attributes)
    types = [*output_types, *[TensorProto.FLOAT] * outputs][:outputs]
    graph = helper.make_graph(
        [node],
        op,
        [port(name, array) for name, array in inputs.items()],
        [helper.make_tensor_value_info(n, t, None) for n, t in zip(names, types, strict=True)],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    opsets.append(helper.make_opsetid("ai.onnx.ml", 3))
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def port(name: str, array: np.ndarray) -> onnx.ValueInfoProto:
    """An input of an array's type and shape."""
    kind = helper.np_dtype_to_tensor_dtype(array.dtype)
    return helper.make_tensor_value_info(name, kind, array.shape)


def by_onnxruntime(path: Path, inputs: Arrays, *, optimise: bool = False) -> list[np.ndarray]:
    """What onnxruntime says."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    if not optimise:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return session.run(None, dict(inputs))


def by_module(path: Path, inputs: Arrays) -> list[np.ndarray]:
    """What the torch module says that the file becomes."""
    module = load(path)
    arguments = tuple(torch.from_numpy(inputs[port.name].copy()) for port in module.ports)
    with torch.no_grad():
        return [value.numpy() for value in module(*arguments).values()]


def by_capture(path: Path, inputs: Arrays) -> list[np.ndarray]:
    """What the captured graph says."""
    module = load(path)
    arguments = tuple(torch.from_numpy(inputs[port.name].copy()) for port in module.ports)
    program = torch.export.export(module, arguments, strict=False).run_decompositions({})
    return [value.numpy() for value in program.module()(*arguments).values()]


def assert_same(
    proto: onnx.ModelProto,
    inputs: Arrays,
    folder: Path,
    *,
    captured: bool = False,
    tolerance: float = 1e-5,
) -> None:
    """Both agree on every output, relative to its largest entry."""
    path = folder / "model.onnx"
    onnx.save(proto, path)
    expected = by_onnxruntime(path, inputs)
    got = by_capture(path, inputs) if captured else by_module(path, inputs)
    assert len(expected) == len(got)
    for want, have in zip(expected, got, strict=True):
        assert want.shape == have.shape
        scale = max(1.0, float(np.abs(want.astype(np.float64)).max(initial=0)))
        np.testing.assert_allclose(
            have.astype(np.float64), want.astype(np.float64), rtol=0, atol=tolerance * scale
        )
