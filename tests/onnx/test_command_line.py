"""An ONNX file on the command line."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx.parser import parse_model
from typer.testing import CliRunner

from lrp_engine.cli.app import app

TEXT = """<ir_version: 9, opset_import: ["" : 20]>
g (float[N,4] x.1, float[N,4] other) => (int64[N] label, float[N,3] score)
<float[4,3] w = {1,2,3,4,5,6,7,8,9,10,11,12}>
{ sum = Add(x.1, other)  h = MatMul(sum, w)  score = Tanh(h)  label = ArgMax<axis=1>(h) }"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    model = parse_model(TEXT.replace("x.1", "x"))
    for node in model.graph.node:
        node.input[:] = ["x.1" if name == "x" else name for name in node.input]
        node.name = f"/body/{node.op_type}"
    model.graph.input[0].name = "x.1"
    onnx.save(model, tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


def run(*words: object, code: int = 0) -> tuple[dict, str]:
    result = CliRunner().invoke(app, [*map(str, words), "--json"])
    assert result.exit_code == code, result.output
    return json.loads(result.stdout), result.stderr


def test_coverage_lists_the_files_own_nodes(file: Path) -> None:
    found, notes = run("coverage", file, "--plan")
    assert [row[-1] for row in found["plan"]] == ["/body/Add", "/body/MatMul", "/body/Tanh"]
    assert "noise of the shapes that the file declares" in notes


def test_explain_takes_arrays_by_the_files_names_and_explains_the_scores(file: Path) -> None:
    arrays = {"x.1": np.ones((2, 4), np.float32), "other": np.zeros((2, 4), np.float32)}
    np.savez(file.with_name("in.npz"), **arrays)
    found, _ = run("explain", file, "--inputs", file.with_name("in.npz"), "--target", "1")
    assert list(found["relevance"]) == ["x.1", "other"]
    assert found["explained"] == pytest.approx([np.tanh(26), np.tanh(26)])
    assert found["relevance"]["x.1"]["sum_per_sample"] == pytest.approx(found["explained"])


def test_what_cannot_be_imported_is_listed(file: Path) -> None:
    model = onnx.load(file)
    model.graph.node[2].op_type = "NonMaxSuppression"
    onnx.save(model, file)
    found, _ = run("coverage", file, code=1)
    assert found["error"]["type"] == "Unsupported"
    assert found["error"]["refused"][0]["node"] == "/body/Tanh"


def test_a_damaged_file_and_one_that_is_not_there(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:60])
    found, _ = run("coverage", file, code=1)
    assert found["error"]["type"] == "OnnxFileError"
    assert CliRunner().invoke(app, ["coverage", "nothing.onnx"]).exit_code == 2
