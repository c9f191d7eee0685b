"""Quantised nets are explained like the nets that they stand for; detached pairs like gradients."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import lrp_engine as lrp


class Net(nn.Module):
    """Two layers with a quantiser between them."""

    def __init__(self, quantise: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last, self.quantise = nn.Linear(6, 8), nn.Linear(8, 3), quantise

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.quantise(self.first(x).relu()))


def by_row(h: Tensor) -> Tensor:
    scale = h.abs().amax(-1, keepdim=True) / 127.5  # the largest entry is cut off by one code
    return (h / scale).round().clamp(-128, 127) * scale


def to_int8(h: Tensor) -> Tensor:
    scale = h.abs().amax() / 127
    return (h / scale).round().clamp(-128, 127).to(torch.int8) * scale


def straight_through(h: Tensor) -> Tensor:
    return h + (torch.sign(h) - h).detach()


def nothing_but_gradient(h: Tensor) -> Tensor:
    return h - h.detach()


def explain(quantise: Callable[[Tensor], Tensor], preset: str) -> Tensor:
    torch.manual_seed(1)
    x = torch.randn(5, 6)
    explanation = lrp.Engine(Net(quantise).eval(), x, preset=preset).explain(x, target=0)
    explanation.check()
    return explanation.relevance["x"]


@pytest.mark.parametrize("quantise", [by_row, to_int8, straight_through, nothing_but_gradient])
def test_relevance_is_that_of_the_float_net(quantise: Callable[[Tensor], Tensor]) -> None:
    found, wanted = explain(quantise, "attnlrp"), explain(lambda h: h, "attnlrp")
    assert torch.corrcoef(torch.stack([found.flatten(), wanted.flatten()]))[0, 1] > 0.99


@pytest.mark.parametrize("quantise", [by_row, straight_through])
def test_the_preset_gradient_is_autograds(quantise: Callable[[Tensor], Tensor]) -> None:
    torch.manual_seed(1)
    x = torch.randn(5, 6).requires_grad_()
    (gradient,) = torch.autograd.grad(Net(quantise)(x)[:, 0].sum(), x)
    torch.testing.assert_close(explain(quantise, "gradient"), (gradient * x).detach())


REMAINDERS: dict[str, Callable[[Tensor], Tensor]] = {
    "remainder": lambda h: h - h % 0.5,
    "fmod": lambda h: torch.sub(h, torch.fmod(h, 0.5)),
    "by a tensor": lambda h: -(torch.remainder(h, torch.tensor(0.5, dtype=h.dtype)) - h),
}


@pytest.mark.parametrize("name", REMAINDERS)
def test_a_value_less_its_remainder_is_that_value_rounded(name: str) -> None:
    x = torch.rand(2, 4, dtype=torch.float64) + 1
    step = REMAINDERS[name]
    engine = lrp.Engine(lambda x: step(3 * x).sum(-1, keepdim=True), x)
    found = engine.explain(x, 0, ledger=True)
    torch.testing.assert_close(found.relevance["x"], 3 * x)
    found.check()
    booked = {cause: amount for cause, amount in found.ledger.absorbed.items() if amount}
    assert booked == {"rounding": pytest.approx(float((found.output - 3 * x.sum(-1, True)).sum()))}
    gradient = engine.with_preset("gradient").explain(x, 0)
    assert not gradient.relevance["x"].any()


def test_a_remainder_of_its_own_passes_relevance_on() -> None:
    x = torch.rand(2, 4, dtype=torch.float64) + 1
    found = lrp.Engine(lambda x: (x % 0.5).sum(-1, keepdim=True), x).explain(x, 0, ledger=True)
    torch.testing.assert_close(found.relevance["x"], x)
    booked = {cause for cause, amount in found.ledger.absorbed.items() if amount}
    assert booked == {"rounding"}


def test_an_operand_that_only_gives_its_dtype_stands_beside_a_sum() -> None:
    x = torch.rand(2, 4, dtype=torch.float64) + 1
    engine = lrp.Engine(lambda x: x.round() - (2 * x).type_as(x.round()), x)
    torch.testing.assert_close(engine.explain(x, 0).coefficient["x"][:, 0], -torch.ones(2).double())
