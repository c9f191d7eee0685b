"""How tensors lie in memory changes nothing: not of inputs, and not of what an op returns."""

from __future__ import annotations

import functools
from itertools import permutations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from lrp_engine import Engine
from tests.support import assert_close, draw, seeded


class Attends(nn.Module):
    """Fused attention on inputs as they come."""

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2).mean(1)


class Looks(nn.Module):
    """Attention on what a convolution returns, which lies as its kernel likes."""

    def __init__(self) -> None:
        super().__init__()
        self.look, self.head = nn.Conv2d(3, 24, 3, stride=2), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.look(x).flatten(2).unflatten(1, (3, 2, 4)).transpose(-1, -2).unbind(1)
        y = scaled_dot_product_attention(q, k, v).transpose(-1, -2)
        return self.head(y.reshape(x.shape[0], 8, -1).mean(-1))


def lying(x: Tensor, order: tuple[int, ...]) -> Tensor:
    """The same numbers, with the axes in this order in memory."""
    back = [order.index(i) for i in range(x.dim())]
    return x.permute(order).contiguous().permute(back)


def assert_as_autograd(model: nn.Module, engine: Engine, *inputs: Tensor) -> None:
    """Output and coefficients are the model's own and torch's derivative."""
    given = [x.detach().clone().requires_grad_() for x in inputs]
    output = model(*given)
    expected = torch.autograd.grad(output[:, 1].sum(), given)
    found = engine.explain(tuple(inputs), 1)
    assert_close(found.output, output.detach(), 1e-12)
    for mine, true in zip(found.coefficient.values(), expected, strict=True):
        assert_close(mine, true, 1e-12)


@pytest.fixture(scope="module", params=[False, True], ids=["eager", "compiled"])
def attention(request):
    torch._dynamo.reset()
    model, qkv = Attends().eval(), tuple(draw(3, 2, 5, 8, seed=i) for i in range(3))
    return model, Engine(model, qkv, preset="gradient", compile=request.param)


OTHERS = [pytest.param(order, marks=pytest.mark.slow) for order in [(0, 1, 3, 2), (0, 2, 1, 3)]]


@pytest.mark.parametrize("order", [(1, 2, 3, 0), *OTHERS])
def test_attention_on_operands_that_lie_otherwise_than_at_capture(attention, order):
    model, engine = attention
    assert_as_autograd(model, engine, *(lying(draw(3, 2, 5, 8, seed=i), order) for i in range(3)))


orders = st.sampled_from(list(permutations(range(4))))


@settings(max_examples=15, deadline=None, derandomize=True, database=None)
@given(st.integers(1, 3), orders, orders, orders)
def test_attention_in_any_order_of_axes(batch, a, b, c):
    model, engine = _attention_once()
    x = [draw(batch, 2, 5, 8, seed=i) for i in range(3)]
    assert_as_autograd(model, engine, *map(lying, x, (a, b, c)))


@functools.cache
def _attention_once() -> tuple[nn.Module, Engine]:
    model, qkv = Attends().eval(), tuple(draw(3, 2, 5, 8, seed=i) for i in range(3))
    return model, Engine(model, qkv, preset="gradient")


@pytest.mark.parametrize("compile", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("captured", ["contiguous", "channels last"])
def test_convolutions_may_return_what_they_return_in_any_layout(captured, compile):
    """In channels-last a batch of one is not told from contiguous, and kernels take it for that."""
    torch._dynamo.reset()
    last = (0, 2, 3, 1)
    model, example = seeded(Looks), draw(2, 3, 12, 12)
    example = lying(example, last) if captured == "channels last" else example
    engine = Engine(model, example, preset="gradient", compile=compile)
    for batch in (1, 3):
        for x in (draw(batch, 3, 12, 12), lying(draw(batch, 3, 12, 12), last)):
            assert_as_autograd(model, engine, x)


class Norms(nn.Module):
    """A batch norm whose result is read with channels last; `plain` writes it as what it is."""

    def __init__(self) -> None:
        super().__init__()
        self.look, self.norm, self.head = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Linear(8, 4)
        nn.init.uniform_(self.norm.running_var, 0.5, 2.0)

    def forward(self, x: Tensor, *, plain: bool = False) -> Tensor:
        y = torch.relu(self.look(x))
        y = self._scaled(y) if plain else self.norm(y)
        return self.head(y.flatten(2).transpose(1, 2)).sin().sum(1)

    def _scaled(self, y: Tensor) -> Tensor:
        norm = self.norm
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        return (y - norm.running_mean[:, None, None]) * scale[:, None, None]


@pytest.mark.parametrize("batch", [1, 2])
def test_a_batch_norm_read_with_channels_last(batch):
    """Where torch's own derivative of the norm is wrong: version 2.13 on a CPU, one sample."""
    model, x = seeded(Norms), draw(batch, 3, 8, 8)
    given = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(model(given, plain=True)[:, 1].sum(), given)
    found = Engine(model, {"x": x}, preset="gradient").explain({"x": x}, 1)
    assert_close(found.coefficient["x"], expected, 1e-12)
