"""Weights and codes of less than a byte, against onnxruntime."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

import lrp_engine as lrp

from .compare import assert_same, one_node, port

RANGES = {TensorProto.INT4: (-8, 8), TensorProto.UINT4: (0, 16)}


def real(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def file(nodes: list[onnx.NodeProto], x: np.ndarray, held: list[TensorProto]) -> onnx.ModelProto:
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "packed", [port("x", x)], [y], held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


@pytest.mark.parametrize(
    "bits, zeros", [(2, ""), (4, ""), (8, ""), (2, "packed"), (4, "packed"), (4, "real")]
)
def test_matrix_in_blocks(bits: int, zeros: str, tmp_path: Path) -> None:
    random, rows, blocks, block = np.random.default_rng(0), 6, 3, 16
    codes = random.integers(0, 256, (rows, blocks, block * bits // 8)).astype(np.uint8)
    weights = {"b": codes, "s": real(rows, blocks)}
    if zeros == "packed":
        weights["z"] = random.integers(0, 256, (rows, -(-blocks * bits // 8))).astype(np.uint8)
    if zeros == "real":
        weights["z"] = real(rows, blocks) + 3
    inputs, order = {"a": real(3, 40)}, ["a", *weights]
    sizes = {"K": 40, "N": rows, "bits": bits, "block_size": block}
    proto = one_node("MatMulNBits", inputs, weights, order, domain="com.microsoft", **sizes)
    assert_same(proto, inputs, tmp_path)
    x = torch.from_numpy(inputs["a"])
    found = lrp.explain(tmp_path / "model.onnx", x, target=2, preset="gradient", dynamic=False)
    found.check()


@pytest.mark.parametrize("kind", RANGES)
def test_weights_of_four_bits(kind: int, tmp_path: Path) -> None:
    random, (low, high), x = np.random.default_rng(0), RANGES[kind], real(2, 6)
    held = [
        helper.make_tensor("w", kind, (6, 4), random.integers(low, high, 24)),
        numpy_helper.from_array(real(2, 4), "s"),
        helper.make_tensor("z", kind, (2, 4), random.integers(low, high, 8)),
    ]
    real_w = helper.make_node("DequantizeLinear", ["w", "s", "z"], ["r"], axis=0, block_size=3)
    assert_same(
        file([real_w, helper.make_node("MatMul", ["x", "r"], ["y"])], x, held), {"x": x}, tmp_path
    )


@pytest.mark.parametrize("kind", RANGES)
@pytest.mark.parametrize("named", [False, True])
def test_codes_of_four_bits_are_cut_off(kind: int, named: bool, tmp_path: Path) -> None:
    """Torch has no type of four bits; the range is that of the zero point's type all the same."""
    x, scale = 10 * real(2, 6), numpy_helper.from_array(np.float32(0.2), "s")
    zero = helper.make_tensor("z", kind, (), [2])
    if named:
        steps = [helper.make_node("QuantizeLinear", ["x", "s"], ["q"], output_dtype=kind)]
        steps.append(helper.make_node("DequantizeLinear", ["q", "s"], ["y"]))
    else:
        steps = [helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"])]
        steps.append(helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"]))
    assert_same(file(steps, x, [scale] if named else [scale, zero]), {"x": x}, tmp_path)
