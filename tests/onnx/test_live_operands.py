"""Scales, limits, slopes and divisors that an ONNX file computes from its input get relevance."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import lrp_engine as lrp
from tests.support import draw

TEXT = """<ir_version: 10, opset_import: ["" : 23]>
g (double[2,4] x, double[%s] a) => (double[2,4] y)
<double[1] two = {2}, int64[2] axes = {0, 1}> { s = Mul(a, two) %s }"""


def layer_norm(x: Tensor, a: Tensor) -> Tensor:
    return F.layer_norm(x, [4], 2 * a, a)


CASES = {
    "LayerNormalization": ("4", "y = LayerNormalization(x, s, a)", layer_norm),
    "RMSNormalization": (
        "4",
        "y = RMSNormalization <epsilon = 0.00001> (x, s)",
        lambda x, a: F.rms_norm(x, [4], 2 * a, 1e-5),
    ),
    "Clip": (
        "1",
        "t = Squeeze(s) n = Neg(t) y = Clip(x, n, t)",
        lambda x, a: torch.clamp(x, -2 * a, 2 * a),
    ),
    "Clip from below": ("1", "t = Squeeze(s) y = Clip(x, t)", lambda x, a: x.clamp_min(2 * a)),
    "PRelu": ("4", "y = PRelu(x, s)", lambda x, a: F.prelu(x, 2 * a)),
    "Mod": ("4", "y = Mod <fmod = 1> (x, s)", lambda x, a: torch.fmod(x, 2 * a)),
    "Attention": (
        "2,2",
        "u = Unsqueeze(x, axes) p = Attention(u, u, u, s) y = Squeeze(p, axes)",
        lambda x, a: F.scaled_dot_product_attention(*[x[None, None]] * 3, attn_mask=2 * a)[0, 0],
    ),
}


@pytest.mark.parametrize("preset", ["gradient", "attnlrp"])
@pytest.mark.parametrize("name", CASES)
def test_relevance_by_both_inputs(name: str, preset: str, tmp_path: Path) -> None:
    """The gradient is the function's own; other relevance is that of the torch function."""
    shape, body, function = CASES[name]
    onnx.save(onnx.parser.parse_model(TEXT % (shape, body)), tmp_path / "m.onnx")
    x, a = draw(2, 4, seed=1), draw(*map(int, shape.split(",")), seed=2).abs() / 3
    target = lambda out: (out * draw(2, 4, seed=3)).sum()  # noqa: E731
    result = lrp.Engine(tmp_path / "m.onnx", preset=preset).explain((x, a), target, ledger=True)
    torch.testing.assert_close(result.output["y"], function(x, a), rtol=1e-9, atol=1e-9)
    if preset == "gradient":
        leaves = [t.clone().requires_grad_() for t in (x, a)]
        slopes = torch.autograd.grad(target(function(*leaves)), leaves)
        expected = dict(zip("xa", slopes, strict=True))
    else:
        native = lrp.Engine(lambda x, a: function(x, a), (x, a), preset=preset, dynamic=False)
        expected = native.explain((x, a), target).coefficient
        result.check()
    for key in "xa":
        assert expected[key].abs().max() > 0
        torch.testing.assert_close(result.coefficient[key], expected[key], rtol=1e-7, atol=1e-9)
