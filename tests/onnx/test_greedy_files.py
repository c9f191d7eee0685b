"""Small files that ask for much when they are loaded: refused before anything is allocated."""

from pathlib import Path

import onnx
import pytest
import torch

from lrp_engine import Engine
from lrp_engine.errors import LrpError
from lrp_engine.onnx import load

HEAD = """<ir_version: 9, opset_import: ["" : 20]>
g (float[N] x) => (y) """

# Bodies that turn a few constants into a value of a terabyte or so; it then meets the input.
BODIES = {
    "ConstantOfShape": "<int64[3] n = {9999, 9999, 9999}> { big = ConstantOfShape(n) %s }",
    "Expand": "<int64[3] n = {9999, 9999, 9999}, float[1] v = {1}> { big = Expand(v, n) %s }",
    "Tile": "<int64[1] n = {999999999999}, float[1] v = {1}> { big = Tile(v, n) %s }",
    "Pad": "<int64[2] n = {0, 999999999999}, float[1] v = {1}> { big = Pad(v, n) %s }",
    "Range": "<float a = {0}, float b = {1e12}, float d = {1}> { big = Range(a, b, d) %s }",
    "whole Range": (
        "<int64 a = {0}, int64 b = {999999999999}, int64 d = {1}> "
        "{ i = Range(a, b, d) big = Cast<to = 1>(i) %s }"
    ),
    "OneHot": (
        "<int64[1] i = {1}, int64 n = {999999999999}, float[2] v = {0, 1}> "
        "{ big = OneHot(i, n, v) %s }"
    ),
    "Resize": ('<float[3] k = {1, 1, 1e12}, float[1,1,1] v = {1}> { big = Resize(v, "", k) %s }'),
    "MatMul": (
        "<int64[2] n = {999999, 1}, int64[2] m = {1, 999999}> "
        "{ a = ConstantOfShape(n) b = ConstantOfShape(m) big = MatMul(a, b) %s }"
    ),
    "doubling": (
        f"<float[4096] v0 = {{{', '.join(['1'] * 4096)}}}> {{"
        + " ".join(f"v{i + 1} = Concat<axis = 0>(v{i}, v{i})" for i in range(40))
        + " big = Identity(v40) %s }"
    ),
}


@pytest.mark.parametrize("name", BODIES)
def test_terabytes_are_refused(name: str, tmp_path: Path) -> None:
    text = HEAD + BODIES[name].replace("%s", "s = ReduceMax<keepdims = 0>(big) y = Add(x, s)")
    text = text.replace('Resize(v, "", k)', "Resize(v, , k)")
    onnx.save(onnx.parser.parse_model(text), tmp_path / "model.onnx")
    assert (tmp_path / "model.onnx").stat().st_size < 20_000
    with pytest.raises(LrpError, match="are allowed"):
        load(tmp_path / "model.onnx")


@pytest.mark.parametrize("turns", [2**62, 5000])
def test_long_loops_are_refused(turns: int, tmp_path: Path) -> None:
    proto = onnx.parser.parse_model(f"""<ir_version: 9, opset_import: ["" : 20]>
        g (float[N] x) => (float[N] y) <int64 n = {{{turns}}}, bool c = {{1}}, float one = {{1}}>
        {{ s = Loop(n, c, one) <body = b (int64 i, bool k, float v) => (bool k2, float w)
            {{ k2 = Identity(k) w = Add(v, v) }}>
           y = Add(x, s) }}""")
    onnx.save(proto, tmp_path / "model.onnx")
    with pytest.raises(LrpError, match="are unrolled"):
        load(tmp_path / "model.onnx")


def test_a_split_into_billions_is_refused(tmp_path: Path) -> None:
    text = HEAD + "{ y, z = Split<axis = 0, num_outputs = 2147483647>(x) }"
    onnx.save(onnx.parser.parse_model(text), tmp_path / "model.onnx")
    with pytest.raises(LrpError, match="has 2 outputs"):
        Engine(tmp_path / "model.onnx", torch.ones(4))
