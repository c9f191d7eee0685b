"""Files that onnxruntime has optimised or quantised: same numbers, same relevance."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    quantize_dynamic,
    quantize_static,
)
from torch import Tensor

import lrp_engine as lrp
from lrp_engine.demo import digits_test_split, load_digits_net

from .compare import by_module, by_onnxruntime
from .test_parity import Block, block, cnn, to_onnx

pytestmark = pytest.mark.filterwarnings("ignore")
Example = tuple[torch.nn.Module, tuple[Tensor, ...]]


def digits() -> Example:
    """The trained net of the demo, and images that it has not seen."""
    return load_digits_net(), (digits_test_split()[0][:16],)


def encoder() -> Example:
    """A block without a mask: calibrating on minus infinity gives infinite scales."""
    return Block(causal=False), (torch.randint(0, 11, (2, 5)),)


NETS = {"cnn": cnn, "block": block, "digits": digits, "encoder": encoder}


def exported(name: str, folder: Path) -> tuple[Path, tuple[Tensor, ...], dict[str, np.ndarray]]:
    """A small net's file, its example inputs, and those by the file's names."""
    torch.manual_seed(0)
    model, inputs = NETS[name]()
    path = to_onnx(model.eval(), inputs, "legacy 17", folder)
    names = [value.name for value in onnx.load(path).graph.input]
    return path, inputs, {n: t.numpy() for n, t in zip(names, inputs, strict=True)}


def relevance(path: Path, inputs: tuple[Tensor, ...], weights: Tensor) -> Tensor:
    engine = lrp.Engine(path, inputs, preset="attnlrp", dynamic=False)
    explanation = engine.explain(inputs, target=weights)
    explanation.check()
    (found,) = explanation.relevance.values()
    return found


def weights_like(output: np.ndarray) -> Tensor:
    return torch.randn(output.shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name, ops", [("cnn", {"FusedConv", "Gelu"}), ("block", {"Gelu"})])
def test_optimised_files(name: str, ops: set[str], tmp_path: Path) -> None:
    path, inputs, arrays = exported(name, tmp_path)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 4
    onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    optimised = tmp_path / "optimised.onnx"
    found = {n.op_type for n in onnx.load(optimised).graph.node if n.domain == "com.microsoft"}
    assert found, "nothing was fused"
    (expected,) = by_onnxruntime(path, arrays)
    (got,) = by_module(optimised, arrays)
    np.testing.assert_allclose(got, expected, atol=1e-5)
    plain = relevance(path, inputs, weights_like(expected))
    fused = relevance(optimised, inputs, weights_like(expected))
    assert float((plain - fused).abs().max() / plain.abs().max()) < 1e-5


class Samples(CalibrationDataReader):
    """What the quantiser measures ranges on."""

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        self.left = [arrays]

    def get_next(self) -> dict[str, np.ndarray] | None:  # type: ignore[override]
        return self.left.pop() if self.left else None


@pytest.mark.parametrize(
    "name, kind",
    [
        ("digits", "QDQ"),
        ("digits", "QOperator"),
        pytest.param("encoder", "QOperator", marks=pytest.mark.slow),
        pytest.param("encoder", "dynamic", marks=pytest.mark.slow),
    ],
)
def test_quantised_files(name: str, kind: str, tmp_path: Path) -> None:
    path, inputs, arrays = exported(name, tmp_path)
    quantised = tmp_path / "quantised.onnx"
    if kind == "dynamic":
        quantize_dynamic(path, quantised)
    else:
        form = {"QDQ": QuantFormat.QDQ, "QOperator": QuantFormat.QOperator}[kind]
        quantize_static(path, quantised, Samples(arrays), quant_format=form)
    (plain,) = by_onnxruntime(path, arrays)
    (expected,) = by_onnxruntime(quantised, arrays)
    (got,) = by_module(quantised, arrays)
    # A value on the edge of two codes may fall to either side; so the error stays far below the
    # one that quantisation makes itself.
    assert np.abs(got - expected).max() <= 0.25 * np.abs(plain - expected).max() + 1e-5
    target = weights_like(expected)
    ours, reference = relevance(quantised, inputs, target), relevance(path, inputs, target)
    assert cosine(ours, reference) > 0.99


def test_infinite_scales_are_refused(tmp_path: Path) -> None:
    path, inputs, arrays = exported("block", tmp_path)
    quantised = tmp_path / "quantised.onnx"
    quantize_static(path, quantised, Samples(arrays), quant_format=QuantFormat.QDQ)
    with pytest.raises(lrp.LrpError, match="its scale is infinite"):
        lrp.Engine(quantised, inputs)


def cosine(a: Tensor, b: Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(a.flatten(), b.flatten(), dim=0))


def test_layouts_of_one_processor_are_refused(tmp_path: Path) -> None:
    proto = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 17, "com.microsoft.nchwc" : 1]>
        g (float[1,8,4,4] x) => (float[1,8,4,4] y) {
            b = com.microsoft.nchwc.ReorderInput <channels_last = 0> (x)
            y = com.microsoft.nchwc.ReorderOutput <channels = 8> (b)
        }""")
    onnx.save(proto, tmp_path / "model.onnx")
    with pytest.raises(lrp.LrpError, match="ORT_ENABLE_EXTENDED"):
        lrp.Engine(tmp_path / "model.onnx", _example())


def _example() -> Any:
    return torch.zeros(1, 8, 4, 4)
