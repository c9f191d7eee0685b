"""Ops without a rule are named as they were written; running products are served."""

import sys
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from lrp_engine import Engine, explain
from lrp_engine.checks.coverage import describe_uncovered
from lrp_engine.errors import CoverageError
from tests.support import draw, seeded

X = draw(4, 5)
Function = Callable[[Tensor, Tensor], Tensor]


class Applied(nn.Module):
    """Applies a function of a hidden layer, all positive, and a learned row."""

    def __init__(self, function: Function) -> None:
        super().__init__()
        self.layer, self.row = nn.Linear(5, 3), nn.Parameter(torch.tensor([3.0, 2.0, 1.5]))
        self.positive, self.function = nn.Softplus(), function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.positive(self.layer(x)), self.row)


def applied(function: Function) -> Applied:
    return seeded(lambda: Applied(function))


def both_signs_as_exponents(h: Tensor, row: Tensor) -> Tensor:
    return h.pow(row - 1.75)


REFUSED: dict[str, Function] = {
    r"aten\.pow\.Tensor_Tensor(.*\n)+.*they are of both signs": both_signs_as_exponents,
    r"aten\.float_power\.Tensor_Tensor": lambda h, row: torch.float_power(h, row - 1.75),
    r"aten\.logcumsumexp\.default": lambda h, row: h.logcumsumexp(1),
    r"aten\.rrelu.*\n +it draws random numbers": lambda h, row: torch.rrelu(h, training=True),
    r"aten\.poisson.*\n +it draws random numbers": lambda h, row: torch.poisson(h),
    r"aten\.tanh\.default\(complex.*\n +complex values(.*\n)+.*in real numbers": (
        lambda h, row: torch.fft.rfft(h).tanh().real
    ),
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_has_no_rule_is_named_as_it_was_written(words: str) -> None:
    with pytest.raises(CoverageError, match=words) as caught:
        Engine(applied(REFUSED[words]), X)
    assert f"{__file__}:" in str(caught.value)
    finding = describe_uncovered(caught.value)
    assert finding.place is not None
    assert finding.place.op.startswith("aten.")
    assert finding.place.source().startswith(__file__)


def no_mark(*_: object) -> None:
    """Mark nothing."""


def test_without_the_mark_a_part_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["lrp_engine.canonicalise.decompose"], "_mark_parts", no_mark)
    with pytest.raises(CoverageError, match=r"= prims\.pow"):
        Engine(applied(both_signs_as_exponents), X)


SERVED: dict[str, Function] = {
    "exponent": lambda h, row: row.pow(h),
    "base": lambda h, row: h.pow(row),
    "negative exponents": lambda h, row: h.pow(-row),
    "base and exponent": lambda h, row: h.pow(h),
    "float_power": lambda h, row: torch.float_power(h, row),
    "ldexp": lambda h, row: torch.ldexp(row, h),
    "prod": lambda h, row: h * h.prod(1, keepdim=True),
    "cumprod": lambda h, row: h.cumprod(1),
    "cumprod of columns": lambda h, row: h.cumprod(-2),
    "item": lambda h, row: h * row.sum().item(),
}


@pytest.mark.parametrize("name", SERVED)
def test_gradient_is_autograds(name: str) -> None:
    model = applied(SERVED[name])
    x = X.clone().requires_grad_()
    output = model(x)
    (wanted,) = torch.autograd.grad(output[:, 1].sum(), x)
    found = explain(model, X, 1, preset="gradient")
    torch.testing.assert_close(found.output, output.detach())
    torch.testing.assert_close(found.coefficient["x"], wanted)


def test_a_product_of_the_first_entries_is_shared_equally() -> None:
    model = applied(lambda h, row: h.cumprod(1))
    found = Engine(model, X, sources=["positive"], preset="attnlrp").explain(X, target=1)
    h = model.positive(model.layer(X)).detach()
    half = h[:, 0] * h[:, 1] / 2
    wanted = torch.stack([half, half, torch.zeros(4)], 1)
    torch.testing.assert_close(found.relevance["positive"], wanted)
