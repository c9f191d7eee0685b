"""Fourier transforms of ONNX files: relevance as of the same net in torch."""

from __future__ import annotations

from pathlib import Path

import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

import lrp_engine as lrp
from tests.support import assert_close, draw

WEIGHT = draw(4, 3, dtype=torch.float32)


def write_file(path: Path) -> None:
    """STFT of frames of 6 samples, squared parts summed up, mean over frames, a linear layer."""
    known = {
        "step": torch.tensor(3),
        "window": torch.hann_window(6),
        "last": torch.tensor([-1]),
        "frames": torch.tensor([1]),
        "weight": WEIGHT,
    }
    nodes = [
        helper.make_node("STFT", ["x", "step", "window"], ["spectra"]),
        helper.make_node("Mul", ["spectra", "spectra"], ["squares"]),
        helper.make_node("ReduceSum", ["squares", "last"], ["power"], keepdims=0),
        helper.make_node("ReduceMean", ["power", "frames"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "weight"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "spectral",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 21])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(v.numpy(), name) for name, v in known.items()],
    )
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)


class Same(nn.Module):
    """The same net in torch."""

    def forward(self, x: Tensor) -> Tensor:
        window = torch.hann_window(6)
        spectra = torch.stft(x, 6, 3, window=window, center=False, return_complex=True)
        power = (torch.view_as_real(spectra) ** 2).sum(-1)
        return power.mean(2) @ WEIGHT


def test_relevance_is_that_of_the_same_net_in_torch(tmp_path: Path) -> None:
    x = draw(2, 21, dtype=torch.float32)
    write_file(tmp_path / "spectral.onnx")
    found = lrp.Engine(tmp_path / "spectral.onnx").explain(x, 1, ledger=True)
    wanted = lrp.explain(Same().eval(), x, 1)
    assert_close(found.output["logits"], wanted.output, 1e-5)
    assert_close(found.relevance["x"], wanted.relevance["x"], 1e-5)
