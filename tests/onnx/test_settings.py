"""Test files whose inputs are settings, and sizes that a file leaves open."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest
import torch
from onnx.parser import parse_model
from typer.testing import CliRunner

import lrp_engine as lrp
from lrp_engine.cli.app import app
from lrp_engine.errors import InputError
from lrp_engine.onnx import load

# A voice detector branches on its sampling rate in this way.
TEXT = """<ir_version: 9, opset_import: ["" : 20]>
g (float[N,4] x, int64 sr) => (float[N,4] y)
<float two = {2.0}, float three = {3.0}, int64 high = {16000}>
{ fast = Equal(sr, high)
  y = If (fast) <
    then_branch = t () => (float[N,4] a) { a = Mul(x, two) },
    else_branch = e () => (float[N,4] b) { b = Mul(x, three) }> }"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    onnx.save(parse_model(TEXT), tmp_path / "vad.onnx")
    return tmp_path / "vad.onnx"


@pytest.mark.parametrize(("rate", "factor"), [(16000, 2.0), (8000, 3.0)])
def test_a_setting_chooses_the_branch(file: Path, rate: int, factor: float) -> None:
    x = torch.randn(3, 4)
    found = lrp.explain(load(file, {"sr": rate}), x, target=1)
    expected = torch.zeros_like(x)
    expected[:, 1] = factor * x[:, 1]
    assert torch.allclose(found.relevance["x"], expected)
    assert f"bound to constants: sr = {rate}" in found.provenance.notes


def test_a_value_inside_keeps_the_setting(file: Path) -> None:
    engine = lrp.Engine(load(file, {"sr": 8000}), torch.randn(2, 4), output="y")
    assert list(engine.explain(torch.ones(2, 4), 0).relevance) == ["x"]


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"src": 1}, "did you mean 'sr'"),
        ({"sr": "fast"}, "give numbers"),
        ({"sr": 0.5}, "does not hold 0.5"),
        ({"sr": [1, 2]}, "was bound to numbers of shape"),
    ],
)
def test_what_does_not_fit_is_refused(file: Path, settings: dict[str, object], text: str) -> None:
    with pytest.raises(InputError, match=text):
        load(file, settings)


def test_on_the_command_line(file: Path) -> None:
    words = ["explain", str(file), "--set", "sr=16000", "--target", "1", "--json"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert list(json.loads(result.stdout)["relevance"]) == ["x"]
    for wrong in ("sr", "sr=fast"):
        result = CliRunner().invoke(app, ["coverage", str(file), "--set", wrong])
        assert result.exit_code == 2
        assert "input=number" in result.stderr


def test_names_are_listed(file: Path) -> None:
    result = CliRunner().invoke(app, ["names", str(file), "--set", "sr=16000", "--json"])
    found = json.loads(result.stdout)
    assert [row["name"] for row in found["inputs"]] == ["x"]
    assert [row["name"] for row in found["outputs"]] == ["y"]
    assert found["outputs"][0]["numbers"] == "float32"


def test_a_size_of_minus_one_is_free_and_made_up_sizes_are_said(tmp_path: Path) -> None:
    model = parse_model(TEXT)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = -1
    onnx.save(model, tmp_path / "m.onnx")
    module = load(tmp_path / "m.onnx", {"sr": 16000})
    engine = lrp.Engine(module)
    assert engine.explain(torch.ones(5, 4), 0).relevance["x"].shape == (5, 4)
    (note,) = [n for n in engine.captured.notes if "made up" in n]
    assert "x (?, 4) as (" in note
