"""A product and the bias added to it become one op, and only then."""

from pathlib import Path

import onnx
import pytest
import torch

from lrp_engine.onnx import load

TEXT = """<ir_version: 9, opset_import: ["" : 20]>
g (float[N,2] x, float[N,3] z) => (float[N,3] y%s)
<float[2,3] w = {1,2,3,4,5,6}, float%s b = {7,8,9}> { p = MatMul(x, w) %s }"""


@pytest.mark.parametrize(
    "more, sizes, body, joined",
    [
        ("", [3], "y = Add(p, b)", True),
        ("", [1, 3], "y = Add(b, p)", True),
        ("", [1, 1, 3], "y = Add(p, b)", True),
        ("", [3, 1], "y = Add(p, b)", False),
        ("", [3], "y = Add(p, z)", False),
        ("", [3], "s = Add(p, b) y = Mul(s, p)", False),
        (", float[N,3] p", [3], "y = Add(p, b)", False),
    ],
)
def test_joined(more: str, sizes: list[int], body: str, joined: bool, tmp_path: Path) -> None:
    onnx.save(onnx.parser.parse_model(TEXT % (more, sizes, body)), tmp_path / "m.onnx")
    module = load(tmp_path / "m.onnx")
    assert ("Linear" in {step.op for step in module.graph.steps}) is joined
    x, z = torch.randn(3, 2), torch.randn(3, 3)
    p = x @ torch.arange(1.0, 7).reshape(2, 3)
    b = torch.tensor([7.0, 8, 9]).reshape(sizes)
    expected = p + (z if "z" in body else b)
    torch.testing.assert_close(module(x, z)["y"], expected * p if "Mul" in body else expected)
