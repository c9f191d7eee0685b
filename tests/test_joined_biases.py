"""A bias that is added by hand is part of its weighted sum, as in F.linear and the convolutions."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrp_engine import Engine
from tests.support import assert_close, draw, seeded

X = draw(2, 5, 3)


class ByHand(nn.Module):
    """Sums with constant weights, and a constant that is added to each."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.ParameterList([torch.randn(3, 3) for _ in range(4)])
        self.biases = nn.ParameterList([torch.randn(3) for _ in range(4)])
        self.head = nn.Parameter(torch.randn(2, 3))

    def forward(self, x: Tensor) -> Tensor:
        (u, v, w, k), (a, b, c, d) = self.weights, self.biases
        x = (F.conv1d(x.mT, k[..., None]) + d[:, None]).mT.tanh()
        x = (a + x @ u.t()).tanh()
        x = (F.linear(x, v) - b[None, None]).tanh()
        return (x @ w + c).tanh() @ self.head.t()


class AsOne(ByHand):
    """The same map in ops that take a bias."""

    def forward(self, x: Tensor) -> Tensor:
        (u, v, w, k), (a, b, c, d) = self.weights, self.biases
        x = F.conv1d(x.mT, k[..., None], d).mT.tanh()
        x = F.linear(x, u, a).tanh()
        x = F.linear(x, v, -b).tanh()
        return F.linear(F.linear(x, w.t(), c).tanh(), self.head)


@pytest.mark.parametrize(
    "preset", ["epsilon", pytest.param("epsilon_plus", marks=pytest.mark.slow)]
)
def test_a_bias_by_hand_joins_its_sum(preset: str) -> None:
    model = seeded(ByHand)
    engine = Engine(model, X, preset=preset)
    found = engine.explain(X, 1, position=2, full_output=preset == "epsilon_plus")
    as_one = Engine(seeded(AsOne), X, preset=preset).explain(X, 1, position=2)
    assert_close(found.relevance["x"], as_one.relevance["x"], 1e-13)
    if preset == "epsilon_plus":
        with torch.no_grad():
            assert torch.equal(found.output, model(X))


class Split(nn.Module):
    """One product is the result of a module, and one is used twice: both have relevance."""

    def __init__(self) -> None:
        super().__init__()
        self.product, self.bias = nn.Linear(3, 4, bias=False), nn.Parameter(torch.randn(4))
        self.weight = nn.Parameter(torch.randn(4, 4))

    def forward(self, x: Tensor) -> Tensor:
        x = self.product(x) + self.bias
        y = x @ self.weight
        return (y + self.bias) * y.sigmoid()


def test_products_that_count_by_themselves_stay() -> None:
    model = seeded(Split)
    engine = Engine(model, X, preset="epsilon")
    result = engine.explain(X, 1, position=2, ledger=True)
    result.check()
    inner = engine.with_sources(["product"]).explain(X, 1, position=2)
    assert_close(inner.relevance["product"].sum(), result.relevance["x"].sum(), 1e-5)
