"""However an op is spelled, fused or by hand, relevance is the same."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lrp_engine import explain
from tests.support import assert_close, assert_conserves, draw

Function = Callable[[Tensor], Tensor]
ROOT_2_PI = math.sqrt(2 / math.pi)


def tanh_gelu(x: Tensor) -> Tensor:
    return F.gelu(x, approximate="tanh")


def mixed(function: Function) -> Function:
    """The function between two fixed layers, so that coefficients differ entry by entry."""
    first, second = draw(6, 8, seed=1), draw(8, 3, seed=2)

    def net(x: Tensor) -> Tensor:
        kind = x.dtype
        return function(x @ first.to(kind)) @ second.to(kind)

    return net


def relevance(function: Function, x: Tensor) -> Tensor:
    return explain(function, x, target=1, dynamic=False).relevance["x"]


def with_zeros(dtype: torch.dtype = torch.float64) -> Tensor:
    """Activations of which about a third are exactly zero, some of them negative zero."""
    x, chance = draw(4, 8), draw(4, 8, seed=3)
    return x.masked_fill(chance > 0.5, 0.0).masked_fill(chance < -1, -0.0).to(dtype)


# --- activations -------------------------------------------------------------------------------

ACTIVATIONS: dict[str, tuple[Function, Function]] = {
    "gelu": (F.gelu, lambda x: 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))),
    "gelu, other order": (F.gelu, lambda x: x * 0.5 * (1.0 + torch.erf(x * math.sqrt(0.5)))),
    "gelu, ONNX": (F.gelu, lambda x: (x * (torch.erf(x / 2**0.5) + 1)) * 0.5),
    "tanh gelu": (
        tanh_gelu,
        lambda x: 0.5 * x * (1 + torch.tanh(ROOT_2_PI * (x + 0.044715 * x**3))),
    ),
    "tanh gelu, products": (
        tanh_gelu,
        lambda x: 0.5 * x * (1 + torch.tanh(x * ROOT_2_PI * (1 + 0.044715 * x * x))),
    ),
    "tanh gelu, pow": (
        tanh_gelu,
        lambda x: 0.5 * x * (1 + torch.tanh(ROOT_2_PI * (x + 0.044715 * torch.pow(x, 3.0)))),
    ),
    "silu, sigmoid": (F.silu, lambda x: x * torch.sigmoid(x)),
    "silu, sigmoid first": (F.silu, lambda x: torch.sigmoid(x) * x),
    "silu, quotient": (F.silu, lambda x: x / (1 + torch.exp(-x))),
    "silu, reciprocal": (F.silu, lambda x: x * (1 / (1 + torch.exp(-x)))),
    "hardswish": (F.hardswish, lambda x: x * F.relu6(x + 3) / 6),
    "hardswish, clamp": (F.hardswish, lambda x: x * torch.clamp(x + 3, 0, 6) / 6),
    "hardswish, hardsigmoid": (F.hardswish, lambda x: x * F.hardsigmoid(x)),
    "mish": (F.mish, lambda x: x * torch.tanh(F.softplus(x))),
    "mish, logarithm": (F.mish, lambda x: x * torch.tanh(torch.log1p(torch.exp(x)))),
    "relu, clamp": (F.relu, lambda x: torch.clamp(x, min=0)),
    "relu, maximum": (F.relu, lambda x: torch.maximum(x, torch.zeros_like(x))),
    "relu, where": (F.relu, lambda x: torch.where(x > 0, x, 0.0)),
    "relu, mask": (F.relu, lambda x: x * (x > 0)),
    "leaky relu": (
        lambda x: F.leaky_relu(x, 0.1),
        lambda x: torch.where(x > 0, x, 0.1 * x),
    ),
    "square": (torch.square, lambda x: x * x),
    "cube": (lambda x: x**3, lambda x: x * x * x),
}
KINKED = {name for name in ACTIVATIONS if "relu" in name}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_by_hand_is_the_fused_one(name):
    fused, by_hand = (relevance(mixed(f), draw(4, 6)) for f in ACTIVATIONS[name])
    assert_close(by_hand, fused, 1e-10)


def coefficients(spelling: int, x: Tensor) -> dict[str, Tensor]:
    """Of the same x under every activation, all of them in one net."""
    head = draw(8, 3, seed=2).to(x.dtype)

    def net(x: Tensor) -> Tensor:
        rows = zip(ACTIVATIONS.values(), x.unbind(1), strict=True)
        return sum(pair[spelling](row) @ head for pair, row in rows)

    copies = x.unsqueeze(1).expand(-1, len(ACTIVATIONS), -1).contiguous()
    found = explain(net, copies, target=1, dynamic=False).coefficient["x"]
    return dict(zip(ACTIVATIONS, found.unbind(1), strict=True))


def test_they_agree_where_the_activation_is_exactly_zero():
    fused, by_hand = (coefficients(spelling, with_zeros()) for spelling in (0, 1))
    for name in ACTIVATIONS.keys() - KINKED:
        assert_close(by_hand[name], fused[name], 1e-10)


@pytest.mark.parametrize("spelling", [0, 1], ids=["fused", "by hand"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_they_stay_finite_in_low_precision(dtype, spelling):
    extremes = torch.tensor([[0, -0.0, 8, -8, 30, -30, 6e-8, 1e-4]], dtype=dtype)
    found = coefficients(spelling, torch.cat([with_zeros(dtype), extremes]))
    assert [name for name, c in found.items() if not c.isfinite().all()] == []


@pytest.mark.parametrize(
    "gated",
    [
        lambda x: x * torch.sigmoid(1.702 * x),
        lambda x: x / (1 + torch.exp(-1.702 * x)),
        lambda x: torch.tanh(x) * torch.sigmoid(x),
        lambda x: x * x * torch.sigmoid(x),
        lambda x: F.silu(x) * x.flip(-1),
    ],
)
def test_gated_activations_conserve(gated):
    assert_conserves(explain(mixed(gated), draw(4, 6), target=1, dynamic=False), 1e-12)
