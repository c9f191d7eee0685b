"""Attention behind a cache of keys and values, against onnxruntime."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import helper

import lrp_engine as lrp

from .compare import assert_same, one_node

MS = "com.microsoft"
HEADS, SHARED, SIZE, LENGTH = 4, 2, 16, 4


def real(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def grouped(cached: int, rotary: bool = False, **attributes: Any) -> tuple[Any, dict[str, Any]]:
    """One GroupQueryAttention node, and inputs."""
    inputs = {"q": real(1, LENGTH, HEADS * SIZE)}
    inputs |= {n: real(1, LENGTH, SHARED * SIZE) + i for i, n in enumerate("kv")}
    order = ["q", "k", "v", "", "", "last", "total"]
    if cached:
        inputs |= {n: real(1, SHARED, cached, SIZE) + i for i, n in enumerate(["pk", "pv"])}
        order[3:5] = ["pk", "pv"]
    total = np.int32(cached + LENGTH)
    weights = {"last": np.array([total - 1], np.int32), "total": np.array(total)}
    if rotary:
        weights |= {"cos": real(32, SIZE // 2), "sin": real(32, SIZE // 2)}
        order += ["cos", "sin"]
    heads = {"num_heads": HEADS, "kv_num_heads": SHARED, "do_rotary": int(rotary)}
    options = {"domain": MS, "outputs": 3, **heads, **attributes}
    return one_node("GroupQueryAttention", inputs, weights, order, **options), inputs


@pytest.mark.parametrize("cached", [0, 3])
@pytest.mark.parametrize(
    "options", [{}, {"rotary": True}, {"local_window_size": 2}, {"softcap": 2.0}], ids=str
)
def test_grouped_attention(cached: int, options: dict[str, Any], tmp_path: Path) -> None:
    proto, inputs = grouped(cached, **options)
    assert_same(proto, inputs, tmp_path)


@pytest.mark.parametrize("causal", [0, 1])
def test_attention_with_its_past(causal: int, tmp_path: Path) -> None:
    inputs = {n: real(2, 4, 8) + i for i, n in enumerate("qkv")}
    inputs |= {n: real(2, 2, 3, 4) + i for i, n in enumerate(["pk", "pv"])}
    order = ["q", "k", "v", "", "", "", "pk", "pv"]
    options = {"domain": MS, "num_heads": 2, "unidirectional": causal}
    proto = one_node("MultiHeadAttention", inputs, {}, order, outputs=3, **options)
    assert_same(proto, inputs, tmp_path)
    inputs = {"x": real(2, 4, 8), "past": real(2, 2, 2, 3, 4)}
    weights = {"w": real(8, 24), "b": real(24)}
    proto = one_node(
        "Attention", inputs, weights, ["x", "w", "b", "", "past"], outputs=2, **options
    )
    assert_same(proto, inputs, tmp_path)


def test_relevance_reaches_the_cache(tmp_path: Path) -> None:
    proto, inputs = grouped(3)
    onnx.save(proto, tmp_path / "cached.onnx")
    given = {name: torch.from_numpy(array) for name, array in inputs.items()}
    options = {"output": "y0", "dynamic": False}
    found = lrp.explain(
        tmp_path / "cached.onnx", given, lambda y: y[0, -1].sum(), preset="gradient", **options
    )
    found.check()
    assert float(found.relevance["pv"].abs().sum()) > 0


def test_a_cache_with_room_is_an_error(tmp_path: Path) -> None:
    """Lengths that the data says: one that contradicts the cache's size stops the run."""
    proto, inputs = grouped(3)
    mask = helper.make_tensor_value_info("mask", onnx.TensorProto.INT32, [1, 7])
    proto.graph.input.append(mask)
    del proto.graph.initializer[0]
    proto.graph.initializer.append(helper.make_tensor("one", 6, [1], [1]))
    proto.graph.initializer.append(helper.make_tensor("axis", 7, [1], [1]))
    count = helper.make_node("ReduceSum", ["mask", "axis"], ["count"], keepdims=0)
    last = helper.make_node("Sub", ["count", "one"], ["last"])
    nodes = [count, last, *proto.graph.node]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    onnx.save(proto, tmp_path / "masked.onnx")
    given = {name: torch.from_numpy(array) for name, array in inputs.items()}
    given["mask"] = torch.ones(1, 7, dtype=torch.int32)
    engine = lrp.Engine(
        tmp_path / "masked.onnx", given, output="y0", preset="gradient", dynamic=False
    )
    engine.explain(given, lambda y: y[0, -1].sum()).check()
    given["mask"] = torch.tensor([[1, 1, 1, 1, 1, 1, 0]], dtype=torch.int32)
    with pytest.raises(Exception, match="cache holds more or fewer positions"):
        engine.explain(given, lambda y: y[0, -1].sum())
