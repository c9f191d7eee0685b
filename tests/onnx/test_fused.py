"""Ops of onnxruntime's optimiser, against onnxruntime."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from .compare import assert_same, one_node

MS = {"domain": "com.microsoft"}
RNG = np.random.default_rng(0)


def real(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


@pytest.fixture(autouse=True)
def drawn_alike_in_any_order() -> None:
    RNG.bit_generator.state = np.random.default_rng(0).bit_generator.state


def check(
    op: str,
    folder: Path,
    inputs: dict[str, np.ndarray],
    weights: dict[str, np.ndarray] | None = None,
    order: str = "",
    **attributes: Any,
) -> None:
    names = [n if n != "_" else "" for n in (order.split() or [*inputs, *(weights or {})])]
    domain = {**MS, **{k: attributes.pop(k) for k in ["domain"] if k in attributes}}
    proto = one_node(op, inputs, weights or {}, names, **domain, **attributes)
    assert_same(proto, inputs, folder)


@pytest.mark.parametrize("a, b", [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_fused_matmul(a: int, b: int, tmp_path: Path) -> None:
    left, right = real(2, 3, 4), real(2, 4, 5)
    inputs = {
        "a": left.swapaxes(1, 2).copy() if a else left,
        "b": right.swapaxes(1, 2).copy() if b else right,
    }
    check("FusedMatMul", tmp_path, inputs, alpha=0.3, transA=a, transB=b)


@pytest.mark.parametrize("a, b", [(1, 0), (0, 1), (1, 1)])
@pytest.mark.parametrize("ta, tb", [(0, 0), (1, 1)])
def test_fused_matmul_over_batches(a: int, b: int, ta: int, tb: int, tmp_path: Path) -> None:
    """With transBatch, the first axis belongs to the matrix and the second last to the batch."""
    left, right = real(2, 6, 3, 4), real(2, 6, 4, 5)
    left, right = (left.swapaxes(2, 3) if ta else left), (right.swapaxes(2, 3) if tb else right)
    inputs = {
        "a": np.moveaxis(left, -2, 0).copy() if a else left.copy(),
        "b": np.moveaxis(right, -2, 0).copy() if b else right.copy(),
    }
    flags = {"transA": ta, "transB": tb, "transBatchA": a, "transBatchB": b}
    check("FusedMatMul", tmp_path, inputs, **flags)


@pytest.mark.parametrize("activation", ["Relu", "Tanh", "Sigmoid", "LeakyRelu", "HardSigmoid"])
def test_fused_gemm(activation: str, tmp_path: Path) -> None:
    weights = {"b": real(5, 4), "c": real(5)}
    extra: dict[str, float] = {}
    if activation == "LeakyRelu":
        extra = {"activation_alpha": 0.2}
    if activation == "HardSigmoid":
        extra = {"activation_alpha": 0.2, "activation_beta": 0.5}
    check(
        "FusedGemm", tmp_path, {"a": real(3, 4)}, weights,
        transB=1, alpha=0.5, activation=activation, **extra,
    )  # fmt: skip


@pytest.mark.parametrize(
    "activation, parameters",
    [
        ("Relu", []),
        ("LeakyRelu", [0.2]),
        ("Clip", [-0.5, 0.5]),
        ("HardSigmoid", [0.2, 0.5]),
        ("Sigmoid", []),
    ],
)
def test_fused_conv(activation: str, parameters: list[float], tmp_path: Path) -> None:
    extra = {"activation_params": parameters} if parameters else {}
    weights = {"w": real(4, 2, 3, 3), "b": real(4)}
    check(
        "FusedConv", tmp_path, {"x": real(2, 2, 6, 6)}, weights,
        activation=activation, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], **extra,
    )  # fmt: skip


def test_fused_conv_with_a_sum(tmp_path: Path) -> None:
    weights = {"w": real(4, 2, 3, 3), "b": real(4)}
    inputs = {"x": real(2, 2, 6, 6), "z": real(2, 4, 4, 4)}
    check("FusedConv", tmp_path, inputs, weights, order="x w b z", activation="Relu")


@pytest.mark.parametrize("op", ["Gelu", "QuickGelu", "FastGelu"])
def test_gelus(op: str, tmp_path: Path) -> None:
    check(op, tmp_path, {"x": real(3, 4)})


@pytest.mark.parametrize("op", ["BiasGelu", "FastGelu"])
def test_gelus_with_a_bias(op: str, tmp_path: Path) -> None:
    check(op, tmp_path, {"x": real(3, 4)}, {"b": real(4)})


def test_quick_gelu_that_is_silu(tmp_path: Path) -> None:
    check("QuickGelu", tmp_path, {"x": real(3, 4)}, alpha=1.0)


@pytest.mark.parametrize("order", ["x s g", "x s g b", "x s g b c", "x s g _ c"])
def test_skip_layer_norm(order: str, tmp_path: Path) -> None:
    inputs = {"x": real(2, 3, 4), "s": real(2, 3, 4)}
    weights = {n: real(4) for n in order.split() if n in "gbc"}
    check("SkipLayerNormalization", tmp_path, inputs, weights, order, epsilon=1e-5)


@pytest.mark.parametrize("order", ["x s g", "x s g b"])
def test_skip_simplified_layer_norm(order: str, tmp_path: Path) -> None:
    inputs = {"x": real(2, 3, 4), "s": real(2, 3, 4)}
    weights = {n: real(4) for n in order.split() if n in "gb"}
    check("SkipSimplifiedLayerNormalization", tmp_path, inputs, weights, order, epsilon=1e-5)


def test_simplified_layer_norm(tmp_path: Path) -> None:
    inputs = {"x": real(2, 3, 4)}
    check("SimplifiedLayerNormalization", tmp_path, inputs, {"g": real(4)}, domain="")


def test_embed_layer_norm(tmp_path: Path) -> None:
    inputs = {"i": RNG.integers(0, 7, (2, 3), np.int32), "s": np.ones((2, 3), np.int32)}
    weights = {"w": real(7, 4), "p": real(5, 4), "t": real(2, 4), "g": real(4), "b": real(4)}
    types = [TensorProto.FLOAT, TensorProto.INT32]
    check(
        "EmbedLayerNormalization", tmp_path, inputs, weights,
        epsilon=1e-5, outputs=2, output_types=types,
    )  # fmt: skip


MASKS = {
    "none": (None, {}),
    "lengths": (np.array([4, 2], np.int32), {}),
    "keys": (np.array([[1, 1, 1, 0], [1, 1, 0, 0]], np.int32), {}),
    "causal": (None, {"unidirectional": 1}),
    "causal_keys": (np.array([[1, 1, 1, 0], [1, 1, 0, 0]], np.int32), {"unidirectional": 1}),
    "scale": (None, {"scale": 0.7}),
}


@pytest.mark.parametrize("mask", MASKS)
def test_attention(mask: str, tmp_path: Path) -> None:
    given, attributes = MASKS[mask]
    inputs = {"x": real(2, 4, 6)}
    weights = {"w": real(6, 18), "b": real(18)}
    if given is not None:
        weights["m"] = given
    check("Attention", tmp_path, inputs, weights, num_heads=2, **attributes)


@pytest.mark.parametrize("mask", [m for m in MASKS if not m.startswith("lengths")])
def test_multi_head_attention(mask: str, tmp_path: Path) -> None:
    given, attributes = MASKS[mask]
    inputs = {"q": real(2, 4, 6), "k": real(2, 4, 6), "v": real(2, 4, 6)}
    weights = {"b": real(18)} | ({"m": given} if given is not None else {})
    check("MultiHeadAttention", tmp_path, inputs, weights, num_heads=2, **attributes)


@pytest.mark.parametrize("interleaved", [0, 1])
@pytest.mark.parametrize("positions", [np.array([1]), np.array([[0, 1, 2], [2, 1, 0]])])
def test_rotary_embedding(interleaved: int, positions: np.ndarray, tmp_path: Path) -> None:
    weights = {"p": positions.astype(np.int64), "c": real(5, 2), "s": real(5, 2)}
    inputs = {"x": real(2, 3, 8)}
    check("RotaryEmbedding", tmp_path, inputs, weights, interleaved=interleaved)
