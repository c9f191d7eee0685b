"""Quantised models: rounded as onnxruntime rounds, and transparent to relevance."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from lrp_engine.onnx.ops.quantised import round_straight_through

from .compare import assert_same, one_node

RNG = np.random.default_rng(1)
MS = {"domain": "com.microsoft"}


@pytest.fixture(autouse=True)
def drawn_alike_in_any_order() -> None:
    RNG.bit_generator.state = np.random.default_rng(1).bit_generator.state


def real(*shape: int) -> np.ndarray:
    return (RNG.standard_normal(shape) * 2).astype(np.float32)


def codes(dtype: type, *shape: int) -> np.ndarray:
    ends = np.iinfo(dtype)
    return RNG.integers(ends.min, ends.max + 1, shape).astype(dtype)


def weight_codes(*shape: int) -> np.ndarray:
    # Without VNNI, onnxruntime adds pairs of uint8 x int8 products in saturating 16-bit integers,
    # so that its result depends on the CPU. Weights of 7 bits (its `reduce_range`) cannot saturate:
    # 2 * 255 * 64 < 2^15.
    return RNG.integers(-64, 64, shape).astype(np.int8)


def f32(*values: float) -> np.ndarray:
    return np.array(values[0] if len(values) == 1 else values, np.float32)


def test_rounding_is_exact_and_transparent() -> None:
    x = torch.cat([torch.arange(-20, 20) / 4, torch.randn(1000) * 1e4, torch.randn(1000) * 1e6])
    assert torch.equal(round_straight_through(x), torch.round(x))
    x.requires_grad_()
    assert torch.equal(
        torch.autograd.grad(round_straight_through(x).sum(), x)[0], torch.ones_like(x)
    )


def q_dq(scale: np.ndarray, zero: np.ndarray, opset: int, **attributes: Any) -> onnx.ModelProto:
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], **attributes),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"], **attributes),
    ]
    port = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "qdq",
        [port("x", TensorProto.FLOAT, (3, 4))], [port("y", TensorProto.FLOAT, (3, 4))],
        [onnx.numpy_helper.from_array(scale, "s"), onnx.numpy_helper.from_array(zero, "z")],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16, np.uint16])
@pytest.mark.parametrize("zero", [0, 7])
def test_quantise_and_back(dtype: type, zero: int, tmp_path: Path) -> None:
    inputs = {"x": real(3, 4) * 20}
    inputs["x"][0] = [0.05, 0.15, 0.25, -0.05]  # ties
    assert_same(q_dq(f32(0.1), np.array(zero, dtype), 21), inputs, tmp_path)
    if np.dtype(dtype).itemsize == 1:
        assert_same(q_dq(f32(0.1), np.array(zero, dtype), 10), inputs, tmp_path)
        contrib = q_dq(f32(0.1), np.array(zero, dtype), 13)
        for node in contrib.graph.node:
            node.domain = "com.microsoft"
        assert_same(contrib, inputs, tmp_path)


@pytest.mark.parametrize("axis, size", [(0, 3), (1, 4), (-1, 4)])
def test_quantise_by_axis(axis: int, size: int, tmp_path: Path) -> None:
    scale = np.abs(real(size)) + 0.1
    assert_same(q_dq(scale, codes(np.int8, size) // 4, 13, axis=axis), {"x": real(3, 4)}, tmp_path)


def test_dynamic_quantisation(tmp_path: Path) -> None:
    for x in (real(3, 4), np.abs(real(3, 4)) + 1, np.zeros((3, 4), np.float32)):
        types = [TensorProto.UINT8, TensorProto.FLOAT, TensorProto.UINT8]
        proto = one_node(
            "DynamicQuantizeLinear", {"x": x}, {}, ["x"], outputs=3, output_types=types
        )
        assert_same(proto, {"x": x}, tmp_path)


W = {"ws": f32(0.02), "wz": np.array(0, np.int8)}
X = {"xs": f32(0.03), "xz": np.array(120, np.uint8)}
OUT = {"ys": f32(0.5), "yz": np.array(100, np.uint8)}


def check(
    op: str, folder: Path, inputs: dict[str, np.ndarray], weights: dict[str, np.ndarray],
    order: str, kind: int = TensorProto.UINT8, **attributes: Any,
) -> None:  # fmt: skip
    proto = one_node(op, inputs, weights, order.split(), output_types=[kind], **attributes)
    assert_same(proto, inputs, folder)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("channels", [False, True])
def test_qlinear_conv(bias: bool, channels: bool, tmp_path: Path) -> None:
    weights = {**X, **W, **OUT, "w": weight_codes(4, 2, 3, 3)}
    if channels:
        weights |= {"ws": np.abs(real(4)) / 100 + 0.01, "wz": np.zeros(4, np.int8)}
    order = "x xs xz w ws wz ys yz"
    if bias:
        weights["b"], order = RNG.integers(-5000, 5000, 4).astype(np.int32), order + " b"
    inputs = {"x": codes(np.uint8, 2, 2, 6, 6)}
    check("QLinearConv", tmp_path, inputs, weights, order, pads=[1, 1, 1, 1], strides=[2, 2])


def test_qlinear_matmul(tmp_path: Path) -> None:
    weights = {**X, **W, **OUT, "w": weight_codes(4, 5)}
    inputs = {"x": codes(np.uint8, 2, 3, 4)}
    check("QLinearMatMul", tmp_path, inputs, weights, "x xs xz w ws wz ys yz")


@pytest.mark.parametrize("zero", ["x w xz wz", "x w", "x w xz"])
def test_matmul_integer(zero: str, tmp_path: Path) -> None:
    weights = {"w": weight_codes(4, 5), "xz": X["xz"], "wz": W["wz"]}
    weights = {n: weights[n] for n in zero.split() if n != "x"}
    inputs = {"x": codes(np.uint8, 2, 3, 4)}
    check("MatMulInteger", tmp_path, inputs, weights, zero, TensorProto.INT32)


def test_conv_integer(tmp_path: Path) -> None:
    weights = {"w": codes(np.uint8, 4, 2, 3, 3), "xz": X["xz"], "wz": np.array(3, np.uint8)}
    inputs = {"x": codes(np.uint8, 2, 2, 6, 6)}
    check("ConvInteger", tmp_path, inputs, weights, "x w xz wz", TensorProto.INT32)


@pytest.mark.parametrize("op", ["QLinearAdd", "QLinearMul"])
def test_qlinear_pairs(op: str, tmp_path: Path) -> None:
    weights = {**X, **OUT, "bs": f32(0.07), "bz": np.array(90, np.uint8)}
    inputs = {"x": codes(np.uint8, 2, 4), "b": codes(np.uint8, 2, 4)}
    check(op, tmp_path, inputs, weights, "x xs xz b bs bz ys yz", **MS)


@pytest.mark.parametrize("quantised", [True, False])
def test_qgemm(quantised: bool, tmp_path: Path) -> None:
    weights = {**X, **W, "w": weight_codes(5, 4), "c": RNG.integers(-99, 99, 5).astype(np.int32)}
    order = "x xs xz w ws wz c"
    if quantised:
        weights, order = weights | OUT, order + " ys yz"
    kind = TensorProto.UINT8 if quantised else TensorProto.FLOAT
    inputs = {"x": codes(np.uint8, 3, 4)}
    check("QGemm", tmp_path, inputs, weights, order, kind, transB=1, **MS)


@pytest.mark.parametrize(
    "op, attributes",
    [
        ("QLinearSigmoid", {}),
        ("QLinearLeakyRelu", {"alpha": 0.1}),
        ("QLinearGlobalAveragePool", {}),
        ("QLinearAveragePool", {"kernel_shape": [2, 2]}),
        ("QLinearSoftmax", {"axis": -1, "opset": 13}),
    ],
)
def test_qlinear_unary(op: str, attributes: dict[str, Any], tmp_path: Path) -> None:
    weights = {**X, "ys": f32(1 / 256), "yz": np.array(0, np.uint8)}
    inputs = {"x": codes(np.uint8, 2, 3, 4, 4)}
    proto = one_node(
        op, inputs, weights, ["x", "xs", "xz", "ys", "yz"], output_types=[TensorProto.UINT8], **MS
    )
    proto.graph.node[0].attribute.extend(
        helper.make_attribute(name, value) for name, value in attributes.items()
    )
    assert_same(proto, inputs, tmp_path)


def test_qlinear_concat(tmp_path: Path) -> None:
    weights = {**X, **OUT, "bs": f32(0.07), "bz": np.array(90, np.uint8)}
    inputs = {"x": codes(np.uint8, 2, 4), "b": codes(np.uint8, 2, 3)}
    check("QLinearConcat", tmp_path, inputs, weights, "ys yz x xs xz b bs bz", axis=1, **MS)


def test_dynamic_matmul(tmp_path: Path) -> None:
    weights = {"w": weight_codes(4, 5), "ws": f32(0.02), "wz": W["wz"], "b": real(5)}
    inputs = {"x": real(2, 3, 4)}
    kind = TensorProto.FLOAT
    check("DynamicQuantizeMatMul", tmp_path, inputs, weights, "x w ws wz b", kind, **MS)


def test_matmul_integer_to_float(tmp_path: Path) -> None:
    weights = {**W, **X, "w": weight_codes(4, 5), "b": real(5)}
    inputs = {"x": codes(np.uint8, 2, 3, 4)}
    order = "x w xs ws xz wz b"
    check("MatMulIntegerToFloat", tmp_path, inputs, weights, order, TensorProto.FLOAT, **MS)
