"""Integer inputs of ONNX files are explained at their embeddings, computed indices or one-hot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper, save

from lrp_engine import explain
from lrp_engine.circuits import CircuitModel
from tests.support import draw

ROWS = 9
TABLE, HEAD = draw(ROWS, 3, seed=1), draw(3, 2, seed=2)
IDS, BESIDE = torch.tensor([[1, 4, 7, 2], [8, 0, 3, 5]]), draw(2, 4, 3)
node = helper.make_node

COMPUTED = [
    node("Add", ["ids", "offset"], ["moved"]),
    node("Mod", ["moved", "rows"], ["row"]),
    node("Gather", ["table", "row"], ["rows_found"], axis=0),
]
ONE_HOT = [
    node("Unsqueeze", ["ids", "axis"], ["column"]),
    node("Equal", ["column", "numbers"], ["equal"]),
    node("Cast", ["equal"], ["one_hot"], to=TensorProto.DOUBLE),
    node("MatMul", ["one_hot", "table"], ["rows_found"]),
]
CONSTANTS = {
    "table": TABLE.numpy(),
    "head": HEAD.numpy(),
    "offset": np.array(3),
    "rows": np.array(ROWS),
    "axis": np.array([-1]),
    "numbers": np.arange(ROWS),
}


def write(path: Path, nodes: list) -> str:
    tail = [
        node("Add", ["rows_found", "beside"], ["sum"]),
        node("MatMul", ["sum", "head"], ["logits"]),
    ]
    used = {name for n in [*nodes, *tail] for name in n.input}
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [*nodes, *tail],
        "look_up",
        [
            info("ids", TensorProto.INT64, ["N", 4]),
            info("beside", TensorProto.DOUBLE, ["N", 4, 3]),
        ],
        [info("logits", TensorProto.DOUBLE, ["N", 4, 2])],
        [numpy_helper.from_array(v, k) for k, v in CONSTANTS.items() if k in used],
    )
    opset = helper.make_opsetid("", 17)
    save(helper.make_model(graph, opset_imports=[opset], ir_version=9), path)
    return str(path)


@pytest.mark.parametrize("nodes, shift", [(COMPUTED, 3), (ONE_HOT, 0)], ids=["computed", "one-hot"])
def test_integers_are_explained_at_their_rows(tmp_path, nodes, shift):
    path = write(tmp_path / "look_up.onnx", nodes)
    inputs = {"ids": IDS, "beside": BESIDE}
    ex = explain(path, inputs, target=1, position=2)
    by_hand = torch.zeros(2, 4, dtype=torch.float64)
    by_hand[:, 2] = (TABLE[(IDS + shift) % ROWS] @ HEAD[:, 1])[:, 2]
    assert torch.allclose(ex.relevance["ids"].sum(-1), by_hand)
    assert not any(ex.ledger.absorbed.values())
    assert len(CircuitModel(path, inputs).embedding_places()) == 2
