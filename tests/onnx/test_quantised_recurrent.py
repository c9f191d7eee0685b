"""LSTM with quantised weights: against its definition, onnxruntime, and the plain layer.

With scales per column, and in single entries of small layers, onnxruntime 1.31 is 0.07 to 0.4 from
its own definition and from the plain layer, which ours is within 0.01 of.
"""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

import lrp_engine as lrp

from .compare import assert_same, by_module, one_node


def lstm_file(folder: Path, direction: str, size: int = 4) -> Path:
    random = np.random.default_rng(0)
    count = 2 if direction == "bidirectional" else 1
    weights = {
        "w": random.standard_normal((count, 4 * size, 5)).astype(np.float32),
        "r": random.standard_normal((count, 4 * size, size)).astype(np.float32),
        "b": random.standard_normal((count, 8 * size)).astype(np.float32),
    }
    x = random.standard_normal((6, 1, 5)).astype(np.float32)
    proto = one_node(
        "LSTM", {"x": x}, weights, ["x", "w", "r", "b"], direction=direction, hidden_size=size
    )
    onnx.save(proto, folder / "plain.onnx")
    return folder / "plain.onnx"


def rounded(x: np.ndarray) -> np.ndarray:
    """x on a grid of 256 codes from its least to its largest entry, both at most 0 and at least."""
    low, high = min(x.min(), 0.0), max(x.max(), 0.0)
    scale = np.float32((high - low) / 255 or 1.0)
    zero = np.clip(np.rint(-low / scale), 0, 255)
    return (np.clip(np.rint(x / scale) + zero, 0, 255) - zero) * scale


def defined(held: dict[str, np.ndarray], x: np.ndarray, direction: int) -> np.ndarray:
    """One direction, step by step in float64, with dequantised weights and rounded operands."""
    w, r = (
        (held[f"{n}_quantized"][direction].astype(float) - held[f"{n}_zero_point"][direction])
        * held[f"{n}_scale"][direction]
        for n in "wr"
    )
    bias = held["b"][direction].reshape(2, -1).sum(0)
    steps = rounded(x)[:, 0]
    h = c = np.zeros(r.shape[0])
    outputs = []
    for step in steps[::-1] if direction else steps:
        i, o, f, g = np.split(step @ w + rounded(h) @ r + bias, 4)
        c = c / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
        h = np.tanh(c) / (1 + np.exp(-o))
        outputs.append(h)
    return np.stack(outputs[::-1] if direction else outputs)


def quantise(file: Path, columns: bool) -> Path:
    path = file.with_name("quantised.onnx")
    quantize_dynamic(file, path, weight_type=QuantType.QInt8, per_channel=columns)
    assert "DynamicQuantizeLSTM" in {node.op_type for node in onnx.load(path).graph.node}
    return path


@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
@pytest.mark.parametrize("columns", [False, True])
def test_quantised_lstm(direction: str, columns: bool, tmp_path: Path) -> None:
    path = quantise(lstm_file(tmp_path, direction), columns)
    held = {t.name: numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}
    x = np.random.default_rng(1).standard_normal((6, 1, 5)).astype(np.float32)
    (found,) = by_module(path, {"x": x})
    for d in range(found.shape[1]):
        np.testing.assert_allclose(found[:, d, 0], defined(held, x, d), atol=1e-5)


def test_one_step_is_that_of_onnxruntime(tmp_path: Path) -> None:
    path = quantise(lstm_file(tmp_path, "forward", 16), columns=False)
    proto = onnx.load(path)
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2
    x = np.random.default_rng(1).standard_normal((2, 1, 5)).astype(np.float32)
    assert_same(proto, {"x": x}, tmp_path, tolerance=1e-5)


def test_relevance_of_a_quantised_lstm_is_near_that_of_the_plain_one(tmp_path: Path) -> None:
    file = lstm_file(tmp_path, "forward")
    path = quantise(file, columns=False)
    x = torch.from_numpy(np.random.default_rng(1).standard_normal((6, 1, 5)).astype(np.float32))
    found = []
    for each in (file, path):
        explanation = lrp.explain(each, x, lambda y: y[-1].sum(), preset="lstm_all", dynamic=False)
        explanation.check()
        found.append(explanation.relevance["x"])
    plain, quantised = found
    assert float((plain - quantised).norm()) < 0.05 * float(plain.norm())
