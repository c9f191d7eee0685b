"""Presets against the same nets differentiated with parts detached: an independent second way.

Holding a factor constant is `.detach()`; keeping relevance through f is x * (f(x) / x).detach();
half each is (a b.detach() + a.detach() b) / 2. Input times the gradient of such a net is the
relevance that the preset must give.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

import lrp_engine as lrp

Factor = Callable[[Tensor, Tensor], Tensor]


def plain(a: Tensor, b: Tensor) -> Tensor:
    return a * b


def half(a: Tensor, b: Tensor) -> Tensor:
    return (a * b.detach() + a.detach() * b) / 2


def first(a: Tensor, b: Tensor) -> Tensor:
    return a * b.detach()


def kept(f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    return x * (f(x) / x).detach()


@dataclass(frozen=True)
class Way:
    """Which parts of the net are held constant."""

    scale: Callable[[Tensor], Tensor] = lambda s: s
    weights: Callable[[Tensor], Tensor] = lambda s: s
    scores: float = 1.0
    values: float = 1.0
    gate: Factor = plain
    activation: Callable[[Callable[[Tensor], Tensor], Tensor], Tensor] = lambda f, x: f(x)
    sigmoid: Callable[[Tensor], Tensor] = lambda s: s


DETACHED = Tensor.detach
LRP = {"scale": DETACHED, "activation": kept}
WAYS = {
    "gradient": Way(),
    "relp": Way(**LRP, gate=half),
    "relp_ah": Way(**LRP, gate=half, weights=DETACHED),
    "cp_lrp": Way(**LRP, gate=half, weights=DETACHED),
    "attnlrp": Way(**LRP, gate=half, scores=0.5, values=0.5),
}


def scaled(x: Tensor, factor: float) -> Tensor:
    """x, of which only a share is differentiated."""
    return factor * x + (1 - factor) * x.detach()


class Block(nn.Module):
    """RMS norm, one-head attention, a gated feed-forward layer, all written by hand."""

    def __init__(self, way: Way) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.way = way
        self.q, self.k, self.v, self.o = (nn.Linear(6, 6, bias=False) for _ in range(4))
        self.up, self.side, self.down = nn.Linear(6, 8), nn.Linear(6, 8), nn.Linear(8, 6)

    def norm(self, x: Tensor) -> Tensor:
        return x * self.way.scale(torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6))

    def attend(self, x: Tensor) -> Tensor:
        q, k, v, way = self.q(x), self.k(x), self.v(x), self.way
        scores = scaled(q, way.scores) @ scaled(k, way.scores).transpose(-1, -2) / math.sqrt(6)
        weights = scaled(way.weights(torch.softmax(scores, -1)), way.values)
        return self.o(weights @ scaled(v, way.values))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attend(self.norm(x))
        h = self.norm(x)
        silu = self.way.activation(torch.nn.functional.silu, self.side(h))
        return (x + self.down(self.way.gate(self.up(h), silu))).mean(1)


class Lstm(nn.Module):
    """Two steps of an LSTM, the gates and the signal apart."""

    def __init__(self, way: Way) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.way = way
        self.read, self.recur, self.out = nn.Linear(4, 12), nn.Linear(3, 12), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = c = torch.zeros(x.shape[0], 3, dtype=x.dtype)
        way = self.way
        for t in range(2):
            i, f, g, o = (self.read(x[:, t]) + self.recur(h)).chunk(4, -1)
            i, f, o = (way.sigmoid(torch.sigmoid(gate)) for gate in (i, f, o))
            c = way.gate(c, f) + way.gate(way.activation(torch.tanh, g), i)
            h = way.gate(way.activation(torch.tanh, c), o)
        return self.out(h)


def reference(net: nn.Module, x: Tensor, target: int) -> Tensor:
    x = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(net(x)[:, target].sum(), x)
    return (x * gradient).detach()


@pytest.mark.parametrize("preset", WAYS)
def test_a_transformer_block(preset: str) -> None:
    x = torch.randn(2, 5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    found = lrp.explain(Block(Way()).double().eval(), x, 1, preset=preset)
    expected = reference(Block(WAYS[preset]).double().eval(), x, 1)
    torch.testing.assert_close(found.relevance["x"], expected, rtol=1e-9, atol=1e-12)
    found.check()


@pytest.mark.parametrize(
    "preset, way",
    [
        ("lstm_all", Way(activation=kept, sigmoid=DETACHED)),
        ("attnlrp", Way(activation=kept, gate=half)),
    ],
)
def test_an_lstm(preset: str, way: Way, tmp_path) -> None:
    """Signal takes all (Arras et al. 2017), and half each."""
    x = torch.randn(2, 2, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    own = tmp_path / "own.toml"
    row = '[[rule]]\nfamily = "weighted_sum"\nuse = "zero"\n'
    own.write_text(f'extends = "{preset}"\n{row}')
    found = lrp.explain(Lstm(Way()).double().eval(), x, 1, preset=own)
    expected = reference(Lstm(way).double().eval(), x, 1)
    torch.testing.assert_close(found.relevance["x"], expected, rtol=1e-9, atol=1e-12)
    found.check()
