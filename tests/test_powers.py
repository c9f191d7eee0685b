"""Powers of which the exponent is a tensor: what they are is decided by its sign."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch
from torch import Tensor, nn

import lrp_engine as lrp
from lrp_engine.errors import CoverageError, InputError

PRESETS = ["attnlrp", "gradient"]


class Pooled(nn.Module):
    """Generalised mean pooling; `learned` False has the exponent as a number."""

    def __init__(self, p: float = 3.0, learned: bool = True) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(2, 4, 3, bias=False)
        self.out = nn.Linear(4, 2, bias=False)
        self.p = nn.Parameter(torch.tensor([p])) if learned else p
        self.double().eval()

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.conv(x)) + 0.01
        return self.out(h.pow(self.p).mean((2, 3)).pow(1 / self.p))


class Scaled(nn.Module):
    """h divided by its root mean square, as a power of that with a negative exponent."""

    def __init__(self, exponent: Tensor | float) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.inner = nn.Linear(3, 4, bias=False)
        self.register_buffer("exponent", exponent) if isinstance(exponent, Tensor) else None
        self.exponent = exponent
        self.double().eval()

    def forward(self, x: Tensor) -> Tensor:
        h = self.inner(x)
        return h * (h * h).mean(-1, keepdim=True).pow(self.exponent)


X = torch.randn(3, 2, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
Y = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


def relevance(model: nn.Module, x: Tensor, preset: str = "attnlrp") -> Tensor:
    explanation = lrp.Engine(model, x, preset=preset).explain(x, target=0)
    explanation.check()
    (found,) = explanation.relevance.values()
    return found


@pytest.mark.parametrize("preset", PRESETS)
def test_a_learned_exponent_is_as_the_number(preset: str) -> None:
    found = relevance(Pooled(), X, preset)
    torch.testing.assert_close(found, relevance(Pooled(learned=False), X, preset))


def test_entries_share_by_their_powers() -> None:
    model = Pooled()
    found = (
        lrp.Engine(model, X, preset="attnlrp", sources=["conv"])
        .explain(X, target=0)
        .relevance["conv"]
    )
    h = torch.relu(model.conv(X)) + 0.01
    pooled = h.pow(3).mean((2, 3)).pow(1 / 3) * model.out.weight[0]
    shares = h.pow(3) / h.pow(3).sum((2, 3), keepdim=True)
    # Of h, the part 0.01 is a constant.
    by_hand = pooled[..., None, None] * shares * torch.relu(model.conv(X)) / h
    torch.testing.assert_close(found, by_hand)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_negative_exponent_is_a_scale(preset: str) -> None:
    learned = Scaled(torch.tensor(-0.5, dtype=torch.float64))
    torch.testing.assert_close(relevance(learned, Y, preset), relevance(Scaled(-0.5), Y, preset))


def test_two_runs() -> None:
    base = torch.zeros_like(X)
    found = [
        lrp.Engine(m, X, preset="delta").explain(X, target=0, reference=base)
        for m in (Pooled(), Pooled(learned=False))
    ]
    one, other = (e.relevance["x"] for e in found)
    torch.testing.assert_close(one, other)
    change = Pooled()(X)[:, 0] - Pooled()(base)[:, 0]
    torch.testing.assert_close(one.sum((1, 2, 3)), change)


def test_a_changed_exponent_is_followed_while_its_sign_holds() -> None:
    model = Pooled()
    engine = lrp.Engine(model, X, preset="attnlrp")
    with torch.no_grad():
        model.p.fill_(2.0)
    found = engine.explain(X, target=0).relevance["x"]
    torch.testing.assert_close(found, relevance(Pooled(2.0, learned=False), X))
    with torch.no_grad():
        model.p.fill_(-2.0)
    with pytest.raises(InputError, match=r"the exponent in .* was above zero and is below zero"):
        engine.explain(X, target=0)


def test_exponents_of_both_signs_are_refused() -> None:
    p = nn.Parameter(torch.tensor([1.0, -1.0, 2.0], dtype=torch.float64))
    with pytest.raises(CoverageError, match="of both signs, zero, or not known"):
        lrp.Engine(lambda x: x.exp().pow(p), Y)


def test_an_exponent_by_data_is_refused() -> None:
    def model(x: Tensor, n: Tensor) -> Tensor:
        return x.exp().pow(n.to(x.dtype))

    n = torch.tensor([1, 2, 3])
    with pytest.raises(CoverageError, match="of both signs, zero, or not known"):
        lrp.Engine(model, (Y, n), sources=["x"])


def test_a_live_exponent_gets_its_taylor_term() -> None:
    """Of x^p, the base gets p x^p and the exponent p log(x) x^p; the rest is booked."""
    x, p = Y.exp(), torch.rand(5, 3, dtype=torch.float64) + 0.5
    explanation = lrp.Engine(lambda x, p: x**p, (x, p)).explain((x, p), target=1)
    explanation.check()
    value = (x**p)[:, 1]
    torch.testing.assert_close(explanation.relevance["x"][:, 1], p[:, 1] * value)
    torch.testing.assert_close(explanation.relevance["p"][:, 1], p[:, 1] * x[:, 1].log() * value)


FILE = """<ir_version: 10, opset_import: ["" : 20]>
g (double[2,3] x) => (double[2,1] y) <double[3] p = {3, 2, 0.5}, double[3,1] w = {1, -2, 0.5}>
{ h = Exp(x) q = Reciprocal(p) a = Pow(h, p) r = Pow(a, q) y = MatMul(r, w) }
"""


def test_from_onnx(tmp_path: Path) -> None:
    """Every column has an exponent of its own: not one number."""
    onnx.save(onnx.parser.parse_model(FILE), tmp_path / "m.onnx")
    x = Y[:2]
    ex = lrp.Engine(tmp_path / "m.onnx").explain(x, target=0)
    ex.check()
    # (e^x)^p^(1/p) = e^x, whose shares pass both powers whole; e^x itself gives x e^x.
    by_hand = x * x.exp() * torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    torch.testing.assert_close(ex.relevance["x"], by_hand)
