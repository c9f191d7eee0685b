"""RoiAlign reads what onnxruntime reads, and is linear in the image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper

import lrp_engine as lrp
from lrp_engine.onnx.unsupported import Unsupported

REGIONS = [[0.0, 0.0, 5.0, 4.0], [2.5, 1.5, 2.6, 3.0], [-3.0, -2.0, 9.0, 9.0], [4.0, 3.0, 1.0, 2.0]]


def written(path: Path, opset: int, **attributes: object) -> Path:
    shape = {"x": [2, 2, 6, 7]}
    value = helper.make_tensor_value_info
    node = helper.make_node("RoiAlign", ["x", "rois", "images"], ["cut"], **attributes)
    flat = helper.make_node("ReduceMean", ["cut"], ["y"], axes=[2, 3], keepdims=0)
    graph = helper.make_graph(
        [node, flat],
        "regions",
        [value("x", TensorProto.FLOAT, shape["x"])],
        [value("y", TensorProto.FLOAT, [4, 2])],
        [
            helper.make_tensor("rois", TensorProto.FLOAT, [4, 4], np.ravel(REGIONS)),
            helper.make_tensor("images", TensorProto.INT64, [4], [0, 1, 1, 0]),
        ],
    )
    opsets = [helper.make_opsetid("", opset)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


@pytest.mark.parametrize(("opset", "ratio"), [(16, 2), (10, 3)])
def test_regions_are_those_of_onnxruntime(tmp_path: Path, opset: int, ratio: int) -> None:
    cells = {"output_height": 2, "output_width": 3, "spatial_scale": 0.8}
    file = written(tmp_path / "regions.onnx", opset, sampling_ratio=ratio, **cells)
    x = torch.randn(2, 2, 6, 7, generator=torch.Generator().manual_seed(0))
    (expected,) = onnxruntime.InferenceSession(str(file)).run(None, {"x": x.numpy()})
    engine = lrp.Engine(file, x, dynamic=False)
    explanation = engine.explain(x, lambda y: y[2, 1])
    explanation.check()
    torch.testing.assert_close(explanation.output["y"], torch.from_numpy(expected))
    relevance = explanation.relevance["x"]
    torch.testing.assert_close(relevance.sum(), torch.tensor(expected[2, 1]))
    assert not relevance[0].any()


@pytest.mark.parametrize("attributes", [{"mode": "max", "sampling_ratio": 2}, {}])
def test_what_differs_between_runtimes_is_refused(tmp_path: Path, attributes: dict) -> None:
    file = written(tmp_path / "regions.onnx", 16, **attributes)
    with pytest.raises(Unsupported, match=r"RoiAlign.*(which of several|how many places)"):
        lrp.Engine(file, torch.zeros(2, 2, 6, 7), dynamic=False)


DETECTOR = """<ir_version: 8, opset_import: ["" : 17]>
detector (float[1, 4, 3] x) => (float[k] best)
<float[1, 4, 4] boxes = {0, 0, 4, 4, 1, 1, 5, 5, 8, 8, 9, 9, 0, 0, 4, 4.5},
 float[3, 1] w = {1, -2, 3}, int64[1] minus = {-1}, int64[1] count = {3},
 float[1] overlap = {0.3}, float[1] least = {-10}, int64[1] last = {2}>
{
    product = MatMul(x, w)
    scores = Transpose<perm = [0, 2, 1]>(product)
    kept = NonMaxSuppression(boxes, scores, count, overlap, least)
    box = Gather<axis = 1>(kept, last)
    flat = Reshape(scores, minus)
    found = Gather(flat, box)
    best = Reshape(found, minus)
}
"""


def test_boxes_that_are_kept_choose_which_scores_are_explained() -> None:
    model = onnx.parser.parse_model(DETECTOR)
    x = torch.randn(1, 4, 3, generator=torch.Generator().manual_seed(0))
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (expected,) = session.run(None, {"x": x.numpy()})
    explanation = lrp.Engine(lrp.onnx.load(model), x).explain(x, lambda y: y[0])
    torch.testing.assert_close(explanation.output["best"], torch.from_numpy(expected))
    relevance = explanation.relevance["x"][0].sum(1)
    assert len(expected) == 2
    torch.testing.assert_close(relevance.max(), torch.tensor(expected[0]))
    assert (relevance != 0).sum() == 1
