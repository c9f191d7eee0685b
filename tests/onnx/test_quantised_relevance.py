"""Relevance of quantised ONNX files is that of the float file; rounding is booked as rounding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

import lrp_engine as lrp

ZERO = np.uint8(128)


class Writer:
    """Writes two layers with a rectifier between them, in one kind of quantisation."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, name: str, array: np.ndarray) -> str:
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def call(self, op: str, inputs: list[str], *outputs: str, **attributes: int) -> str:
        self.nodes.append(helper.make_node(op, inputs, outputs, **attributes))
        return outputs[0]

    def codes(self, name: str, weight: np.ndarray, bits: int) -> tuple[str, str]:
        top = 2 ** (bits - 1) - 1
        scale = (np.abs(weight).max() / top).astype(np.float32)
        codes = np.round(weight / scale).astype(np.int8)
        kind = TensorProto.INT8 if bits == 8 else TensorProto.INT4
        self.constants.append(helper.make_tensor(f"{name}_q", kind, weight.shape, codes.flatten()))
        return f"{name}_q", self.constant(f"{name}_s", scale)

    def plain(self, x: str, weight: np.ndarray, y: str) -> None:
        self.call("MatMul", [x, self.constant(f"{y}_w", weight)], y)

    def four_bits(self, x: str, weight: np.ndarray, y: str) -> None:
        codes = self.codes(y, weight, 4)
        self.call("MatMul", [x, self.call("DequantizeLinear", [*codes], f"{y}_w")], y)

    def static(self, x: str, weight: np.ndarray, y: str) -> None:
        scale = self.constant(f"{x}_s", np.float32(0.08))
        zero = self.constant(f"{x}_z", np.uint8(128))
        self.call("QuantizeLinear", [x, scale, zero], f"{x}_q")
        self.call("DequantizeLinear", [f"{x}_q", scale, zero], f"{x}_d")
        codes = self.codes(y, weight, 8)
        self.call("MatMul", [f"{x}_d", self.call("DequantizeLinear", [*codes], f"{y}_w")], y)

    def qlinear(self, x: str, weight: np.ndarray, y: str) -> None:
        scale, zero = self.constant(f"{x}_s", np.float32(0.08)), self.constant(f"{x}_z", ZERO)
        codes, own = self.codes(y, weight, 8)
        none = self.constant(f"{y}_wz", np.int8(0))
        out = [self.constant(f"{y}_os", np.float32(0.12)), self.constant(f"{y}_oz", ZERO)]
        self.call("QuantizeLinear", [x, scale, zero], f"{x}_p")
        given = [f"{x}_p", scale, zero, codes, own, none, *out]
        self.call("DequantizeLinear", [self.call("QLinearMatMul", given, f"{y}_o"), *out], y)

    def dynamic(self, x: str, weight: np.ndarray, y: str) -> None:
        codes, scale = self.codes(y, weight, 8)
        self.call("DynamicQuantizeLinear", [x], f"{x}_q", f"{x}_s", f"{x}_z")
        self.call("MatMulInteger", [f"{x}_q", codes, f"{x}_z"], f"{y}_i")
        self.call("Cast", [f"{y}_i"], f"{y}_f", to=1)
        self.call("Mul", [f"{y}_f", self.call("Mul", [f"{x}_s", scale], f"{y}_ss")], y)


def explain(kind: str, folder: Path) -> lrp.Explanation:
    rng, writer = np.random.default_rng(0), Writer()
    layer = getattr(writer, kind)
    layer("x", rng.standard_normal((6, 8)).astype(np.float32), "h")
    writer.call("Relu", ["h"], "r")
    layer("r", rng.standard_normal((8, 3)).astype(np.float32), "y")
    port = helper.make_tensor_value_info
    graph = helper.make_graph(
        writer.nodes, kind, [port("x", 1, ["n", 6])], [port("y", 1, ["n", 3])], writer.constants
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.save(proto, folder / f"{kind}.onnx")
    x: Tensor = torch.randn(5, 6, generator=torch.Generator().manual_seed(0))
    explanation = lrp.explain(folder / f"{kind}.onnx", x, 0)
    explanation.check()
    return explanation


@pytest.mark.parametrize("kind", ["four_bits", "static", "qlinear", "dynamic"])
def test_relevance_is_that_of_the_float_file(kind: str, tmp_path: Path) -> None:
    found, wanted = explain(kind, tmp_path), explain("plain", tmp_path)
    both = torch.stack([found.relevance["x"].flatten(), wanted.relevance["x"].flatten()])
    assert torch.corrcoef(both)[0, 1] > 0.99
    lost = found.explained.double().sum() - found.relevance["x"].double().sum()
    assert found.ledger.absorbed.get("rounding", 0.0) == pytest.approx(float(lost), abs=1e-4)
    assert (kind == "four_bits") == ("rounding" not in found.ledger.absorbed)
