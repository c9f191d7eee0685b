"""An ONNX graph becomes a torch module with the same numbers, or is refused as a whole."""

import onnx
import pytest
import torch
from onnx.parser import parse_model

from lrp_engine import Engine
from lrp_engine.errors import InputError, OnnxFileError, TargetError
from lrp_engine.onnx import Unsupported, load

MLP = """<ir_version: 9, opset_import: ["" : 20]>
g (float[N,4] x) => (float[N,3] y)
<float[3,4] w = {1,2,3,4,5,6,7,8,9,10,11,12}, float[3] b = {1,2,3}>
{ h = Gemm<transB=1>(x, w, b)
  r = Relu(h)
  s = Shape(r)
  k = Constant<value = int64[1] {-1}>()
  q = Concat<axis=0>(k, s)
  z = Reshape(r, q)
  y = Gelu(z) }"""


def written(text, path):
    onnx.save(parse_model(text), path)
    return path


def test_the_module_computes_what_the_graph_says(tmp_path):
    module = load(written(MLP, tmp_path / "m.onnx"))
    x = torch.randn(2, 4, generator=torch.Generator().manual_seed(0))
    w, b = torch.arange(1.0, 13).reshape(3, 4), torch.arange(1.0, 4)
    expected = torch.nn.functional.gelu(torch.relu(x @ w.t() + b)).reshape(-1, 2, 3)
    assert torch.equal(module(x)["y"], expected)


def test_constant_steps_are_folded_away(tmp_path):
    module = load(written(MLP, tmp_path / "m.onnx"))
    assert "Constant" not in [step.op for step in module.graph.steps]


def test_every_unknown_op_is_named_in_one_error(tmp_path):
    text = MLP.replace("y = Gelu(z)", "c = Gelu(z) d = NonMaxSuppression(c) y = StringConcat(c, d)")
    with pytest.raises(Unsupported, match=r"NonMaxSuppression[\s\S]*StringConcat") as caught:
        load(written(text, tmp_path / "m.onnx"))
    assert [r.op for r in caught.value.refusals] == ["NonMaxSuppression", "StringConcat"]


def test_a_few_bytes_do_not_fold_to_gigabytes(tmp_path):
    text = """<ir_version: 9, opset_import: ["" : 20]>
    g (float[N] x) => (float[N] y) <int64[4] size = {999, 999, 9999, 1}>
    { big = ConstantOfShape(size)  y = Add(x, big) }"""
    with pytest.raises(OnnxFileError, match=r"ConstantOfShape.*bytes of folded constants"):
        load(written(text, tmp_path / "m.onnx"))


def test_plan_ledger_and_sources_speak_the_files_language(tmp_path):
    path = written(MLP, tmp_path / "m.onnx")
    engine = Engine(path, sources=["x", "r", "Relu_1"])
    assert [row[0] for row in engine.plan.rows()] == ["h", "r", "z", "y"]
    assert [row[-1] for row in engine.plan.rows()] == ["Gemm_0", "Relu_1", "Reshape_5", "Gelu_6"]
    ex = engine.explain({"x": torch.ones(2, 4)}, lambda y: y[..., 0].sum())
    assert list(ex.output) == ["y"]
    assert torch.equal(ex.relevance["r"], ex.relevance["Relu_1"])
    assert {a.place for a in ex.ledger.accounts} >= {"Gemm_0 (Gemm)", "Gelu_6 (Gelu)"}
    ex.check()


def test_sizes_that_the_file_leaves_open_stay_open_and_others_are_fixed(tmp_path):
    engine = Engine(written(MLP, tmp_path / "m.onnx"))
    assert [(f.leaf, f.axis) for f in engine.captured.shapes.free()] == [(0, 0)]
    for batch in (1, 2, 7):
        assert engine.forward(torch.ones(batch, 4)).output["y"].shape == (1, batch, 3)
    with pytest.raises(InputError, match="axis 1 is fixed"):
        engine.forward(torch.ones(2, 5))


def test_every_node_that_cannot_be_run_is_named_in_one_error(tmp_path):
    text = """<ir_version: 9, opset_import: ["" : 20]>
    g (float[N,4] x, int64[2] shape, int64 k) => (float[N,M] y, float[A,B] z)
    { a = Reshape(x, shape)  y = Relu(a)
      b, c = TopK(x, k)  z = Tanh(b)
      d = Resize(x) }"""
    path = written(text.replace("int64 k", "int64[1] k"), tmp_path / "m.onnx")
    with pytest.raises(Unsupported) as caught:
        Engine(path)
    assert [r.op for r in caught.value.refusals] == ["Reshape", "TopK"]
    assert "depends on data" in caught.value.refusals[0].reason


def test_any_value_of_the_file_can_be_the_output_that_is_explained(tmp_path):
    path = written(MLP, tmp_path / "m.onnx")
    x = torch.randn(2, 4, generator=torch.Generator().manual_seed(0))
    ex = Engine(path, preset="epsilon", output="h").explain(x, target=2)
    w = torch.tensor([9.0, 10, 11, 12])
    assert torch.allclose(ex.explained.float(), x @ w + 3)
    assert torch.allclose(ex.relevance["x"], x * w, atol=1e-4)
    with pytest.raises(TargetError, match="computes no value 'hh'; did you mean 'h'"):
        Engine(path, output="hh")


def test_a_constant_that_is_cut_to_an_open_length_leaves_it_open(tmp_path):
    text = """<ir_version: 9, opset_import: ["" : 20]>
    g (float[N,L] x) => (float[N,L] y) <float[8] w = {1,2,3,4,5,6,7,8}, int64[1] zero = {0}>
    { length = Shape<start=1>(x)  own = Slice(w, zero, length, zero)  y = Mul(x, own) }"""
    engine = Engine(written(text, tmp_path / "m.onnx"))
    assert [(f.leaf, f.axis) for f in engine.captured.shapes.free()] == [(0, 0), (0, 1)]
    for length in (2, 5, 8):
        output = engine.forward(torch.ones(2, length)).output["y"]
        assert output[0].tolist() == list(range(1, length + 1))
