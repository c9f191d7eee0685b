"""RNN, GRU and LSTM in all directions and layouts, against onnxruntime."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn

import lrp_engine as lrp

from .compare import assert_same, one_node

TIME, BATCH, FEATURES, HIDDEN = 4, 2, 3, 5
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}


def arrays(op: str, directions: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(len(op) + directions)
    gates = GATES[op] * HIDDEN
    shapes = {
        "x": (TIME, BATCH, FEATURES),
        "w": (directions, gates, FEATURES),
        "r": (directions, gates, HIDDEN),
        "b": (directions, 2 * gates),
        "h": (directions, BATCH, HIDDEN),
        "c": (directions, BATCH, HIDDEN),
        "p": (directions, 3 * HIDDEN),
    }
    return {n: rng.standard_normal(s).astype(np.float32) for n, s in shapes.items()}


def check(op: str, folder: Path, order: list[str], **attributes: Any) -> None:
    directions = 2 if attributes.get("direction") == "bidirectional" else 1
    values = arrays(op, directions)
    values["lens"] = np.array([TIME, 2], np.int32)
    inputs = {n: values[n] for n in ("x",)}
    weights = {n: values[n] for n in order if n and n != "x"}
    outputs = 3 if op == "LSTM" else 2
    proto = one_node(op, inputs, weights, order, outputs=outputs, hidden_size=HIDDEN, **attributes)
    assert_same(proto, inputs, folder, captured=order == ["x", "w", "r", "b"] and not attributes)


@pytest.mark.parametrize("op", GATES)
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("order", ["x w r", "x w r b", "x w r b lens h"])
def test_directions(op: str, direction: str, order: str, tmp_path: Path) -> None:
    check(op, tmp_path, order.split(), direction=direction)


@pytest.mark.parametrize("late", [0, 1])
def test_gru_reset(late: int, tmp_path: Path) -> None:
    check("GRU", tmp_path, ["x", "w", "r", "b"], linear_before_reset=late)


def test_lstm_peepholes_and_states(tmp_path: Path) -> None:
    check("LSTM", tmp_path, ["x", "w", "r", "b", "", "h", "c", "p"])
    check("LSTM", tmp_path, ["x", "w", "r", "b", "lens", "h", "c", "p"], direction="bidirectional")


def test_lstm_coupled_gates(tmp_path: Path) -> None:
    check("LSTM", tmp_path, ["x", "w", "r", "b"], input_forget=1)


@pytest.mark.parametrize(
    "op, activations, settings",
    [
        ("RNN", ["Relu"], {}),
        ("RNN", ["Affine"], {"activation_alpha": [0.5], "activation_beta": [0.1]}),
        ("RNN", ["LeakyRelu"], {"activation_alpha": [0.3]}),
        ("RNN", ["ThresholdedRelu"], {"activation_alpha": [0.3]}),
        ("RNN", ["ScaledTanh"], {"activation_alpha": [0.5], "activation_beta": [0.7]}),
        ("RNN", ["HardSigmoid"], {"activation_alpha": [0.3], "activation_beta": [0.4]}),
        ("RNN", ["Elu"], {"activation_alpha": [0.7]}),
        ("RNN", ["Softsign"], {}),
        ("RNN", ["Softplus"], {}),
        ("GRU", ["HardSigmoid", "Softsign"], {"activation_alpha": [0.3], "activation_beta": [0.4]}),
        ("LSTM", ["Sigmoid", "Relu", "Softsign"], {}),
    ],
)
def test_activations(
    op: str, activations: list[str], settings: dict[str, Any], tmp_path: Path
) -> None:
    check(op, tmp_path, ["x", "w", "r", "b"], activations=activations, **settings)


@pytest.mark.parametrize("op", GATES)
def test_clip(op: str, tmp_path: Path) -> None:
    check(op, tmp_path, ["x", "w", "r", "b"], clip=0.5)


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.GRU(FEATURES, 4).double().eval()
        self.eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)[1]


def test_one_capture_serves_any_length_with_the_relevance_of_torch(tmp_path: Path) -> None:
    net = Layer()
    w, r, *b = (p.detach().numpy() for p in net.layer._flat_weights)

    def in_order(array: np.ndarray) -> np.ndarray:
        reset, keep, new = np.split(array, 3)
        return np.concatenate([keep, reset, new])

    order = {"w": in_order(w)[None], "r": in_order(r)[None]}
    order["b"] = np.concatenate([in_order(bias) for bias in b])[None]
    x = torch.randn(TIME, BATCH, FEATURES, dtype=torch.float64)
    settings = {"hidden_size": 4, "linear_before_reset": 1, "outputs": 2}
    names, types = ["x", "w", "r", "b"], [onnx.TensorProto.DOUBLE] * 2
    proto = one_node("GRU", {"x": x.numpy()}, order, names, output_types=types, **settings)
    for axis, name in enumerate(("time", "batch")):
        proto.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = name
    onnx.save(proto, tmp_path / "gru.onnx")
    engine = lrp.Engine(tmp_path / "gru.onnx", x, preset="epsilon", output="y1")
    for steps in (1, 9):
        x = torch.randn(steps, BATCH, FEATURES, dtype=torch.float64)
        mine = engine.explain(x, target=lambda y: y.sum()).relevance["x"]
        wanted = lrp.explain(net, x, target=lambda y: y.sum(), preset="epsilon")
        assert torch.allclose(mine, wanted.relevance["x"], rtol=1e-12, atol=1e-14)
