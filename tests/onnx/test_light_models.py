"""The classical image networks that come with onnx, with random weights, against onnxruntime.

As they are shipped, their weights are constants and their outputs one number, which tests nothing.
"""

import math
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, helper, numpy_helper

from .compare import by_module, by_onnxruntime

FOLDER = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
SMALL = ("squeezenet", "shufflenet", "inception_v2")
# The other six pass as well; they take minutes (benchmarks/onnx_files.py runs all nine).


def with_random_weights(proto: ModelProto) -> ModelProto:
    """Weights made by ConstantOfShape become random ones of a size that keeps signals alive."""
    rng = np.random.default_rng(0)
    shapes = {t.name: numpy_helper.to_array(t) for t in proto.graph.initializer}
    variances = {n.input[4] for n in proto.graph.node if n.op_type == "BatchNormalization"}
    kept = []
    for node in proto.graph.node:
        if node.op_type != "ConstantOfShape":
            kept.append(node)
            continue
        shape = tuple(shapes[node.input[0]])
        fan_in = math.prod(shape[1:]) if len(shape) > 1 else 25
        weight = rng.standard_normal(shape, np.float32) * math.sqrt(2 / max(fan_in, 1))
        weight = np.abs(weight) + 0.5 if node.output[0] in variances else weight
        proto.graph.initializer.append(numpy_helper.from_array(weight, node.output[0]))
    del proto.graph.node[:]
    proto.graph.node.extend(kept)
    # Before IR 4 every initialiser is listed as an input too.
    inputs = {value.name for value in proto.graph.input}
    for tensor in proto.graph.initializer:
        if tensor.name not in inputs:
            value = helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            proto.graph.input.append(value)
    return proto


@pytest.mark.parametrize("name", SMALL)
def test_outputs(name: str, tmp_path: Path) -> None:
    (file,) = (p for p in FOLDER.glob("light_*.onnx") if name in p.name)
    proto = with_random_weights(onnx.load(file))
    # The probabilities of such a net are all alike; the logits before them are not.
    while proto.graph.node[-1].op_type in ("Softmax", "Reshape", "Flatten", "Dropout"):
        proto.graph.output[0].name = proto.graph.node[-1].input[0]
        del proto.graph.node[-1]
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    onnx.save(proto, tmp_path / "model.onnx")
    held = {tensor.name for tensor in proto.graph.initializer}
    (port,) = (value for value in proto.graph.input if value.name not in held)
    shape = [d.dim_value for d in port.type.tensor_type.shape.dim]
    x = np.random.default_rng(1).standard_normal(shape, np.float32)
    (expected,) = by_onnxruntime(tmp_path / "model.onnx", {port.name: x})
    (got,) = by_module(tmp_path / "model.onnx", {port.name: x})
    assert expected.std() > 0.01 * np.abs(expected).max()  # not one number
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
