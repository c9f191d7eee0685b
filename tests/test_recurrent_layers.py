"""Recurrent layers taken apart: torch's own values, one relevance for every layout and dtype."""

from __future__ import annotations

from operator import getitem
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lrp_engine as lrp
from lrp_engine.canonicalise.recurrent_layers import RECURRENT_LAYERS, lstm_layer
from lrp_engine.errors import CaptureError
from tests.support import assert_close, draw

aten = torch.ops.aten
LAYERS: dict[str, tuple[type[nn.RNNBase], Any, dict[str, Any]]] = {
    "lstm": (nn.LSTM, aten.lstm.input, {}),
    "lstm, two": (nn.LSTM, aten.lstm.input, {"num_layers": 2, "bidirectional": True}),
    "lstm, projected": (nn.LSTM, aten.lstm.input, {"proj_size": 2, "bidirectional": True}),
    "lstm, bare": (nn.LSTM, aten.lstm.input, {"bias": False, "proj_size": 2, "num_layers": 2}),
    "gru": (nn.GRU, aten.gru.input, {"num_layers": 2, "bidirectional": True}),
    "gru, bare": (nn.GRU, aten.gru.input, {"bias": False}),
    "tanh": (nn.RNN, aten.rnn_tanh.input, {"bidirectional": True}),
    "relu": (nn.RNN, aten.rnn_relu.input, {"num_layers": 2, "nonlinearity": "relu"}),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("batch_first", [False, True])
def test_parts_compute_what_the_layer_computes(name: str, batch_first: bool) -> None:
    kind, op, settings = LAYERS[name]
    torch.manual_seed(0)
    layer = kind(3, 4, batch_first=batch_first, **settings).double()
    x = draw(2, 5, 3, seed=1).requires_grad_()
    both, batch = layer.num_layers * (1 + layer.bidirectional), 2 if batch_first else 5
    size = layer.proj_size or 4
    first: Any = draw(both, batch, size, seed=2)
    if kind is nn.LSTM:
        first = (first, draw(both, batch, 4, seed=3))
    out, last = layer(x, first)
    wanted = [out, *(last if isinstance(last, tuple) else (last,))]
    call = (layer.bias, layer.num_layers, 0.0, False, layer.bidirectional, batch_first)
    found = RECURRENT_LAYERS[op](x, first, layer._flat_weights, *call)
    for a, b in zip(found, wanted, strict=True):
        assert_close(a, b, 1e-12)
    a, b = (torch.autograd.grad(outs[0].sin().sum(), x)[0] for outs in (found, wanted))
    assert_close(a, b, 1e-10)


class Last(nn.Module):
    """The last output of a layer; inputs are (batch, time, features) in either layout."""

    def __init__(self, kind: type[nn.RNNBase], batch_first: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = batch_first
        self.layer, self.out = kind(3, 4, batch_first=batch_first), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.layer(x if self.first else x.transpose(0, 1))[0]
        return self.out(y[:, -1] if self.first else y[-1])


def relevance(kind: type[nn.RNNBase], batch_first: bool, dtype: torch.dtype) -> Tensor:
    net, x = Last(kind, batch_first).to(dtype).eval(), draw(2, 4, 3, seed=1).to(dtype)
    return lrp.explain(net, x, target=0, preset="lstm_all").relevance["x"].double()


def test_relevance_depends_neither_on_layout_nor_on_dtype() -> None:
    wanted = relevance(nn.LSTM, True, torch.float64)
    assert_close(relevance(nn.LSTM, False, torch.float64), wanted)
    assert_close(relevance(nn.LSTM, True, torch.float32), wanted, 1e-5)
    assert_close(wanted, lrp_all(Last(nn.LSTM, True).double(), draw(2, 4, 3, seed=1)))


def stabilised(z: Tensor) -> Tensor:
    return z / torch.where(z < 0, z - 1e-3, z + 1e-3)


def lrp_all(net: Last, x: Tensor) -> Tensor:
    """LRP-all by its definition, step by step, with z the whole sum, its bias included."""
    layer, steps, h, c = net.layer, [], x.new_zeros(2, 4), x.new_zeros(2, 4)
    wx, wh, bx, bh = layer._flat_weights
    for t in range(x.shape[1]):
        zx, zh = x[:, t] @ wx.T + bx, h @ wh.T + bh
        i, f, k, o = (zx + zh).chunk(4, -1)
        i, f, o = i.sigmoid(), f.sigmoid(), o.sigmoid()
        c = f * c + i * k.tanh()
        h = o * c.tanh()
        steps.append((zx[:, 8:12], zh[:, 8:12], i, f, k, o, c))
    seed = torch.tensor([[1.0, 0.0]], dtype=x.dtype) * stabilised(net.out(h))
    at_h, at_c, found = seed @ net.out.weight, torch.zeros_like(c), torch.zeros_like(x)
    for t, (zx, zh, i, f, k, o, c) in reversed(list(enumerate(steps))):
        at_c = at_c + at_h * o * c.tanh() / c
        at_k = at_c * i * k.tanh() / k
        found[:, t] = (at_k * stabilised(zx)) @ wx[8:12]
        at_h, at_c = (at_k * stabilised(zh)) @ wh[8:12], at_c * f
    return (found * x).detach()


def test_steps_are_alike_and_share_their_traces() -> None:
    """Set-up time per step is that of writing, not of tracing: no op knows which step it is of."""

    def kinds(steps: int) -> set[object]:
        x = draw(2, steps, 3, seed=1).float()
        graph = lrp.Engine(Last(nn.LSTM, True).eval(), x).plan.captured.graph
        ops = [n for n in graph.nodes if n.op == "call_function" and n.target is not getitem]
        return {(n.target, str([a for a in n.args if isinstance(a, int)])) for n in ops}

    assert kinds(5) == kinds(4)


@pytest.mark.parametrize("reverse", [False, True])
def test_the_layer_of_onednn_is_read_as_one_direction(reverse: bool) -> None:
    torch.manual_seed(0)
    layer, x = nn.LSTM(3, 4, bidirectional=True), draw(5, 2, 3, seed=1).float()
    out, (h, c) = layer(x)
    where, weights = slice(4, 8) if reverse else slice(0, 4), layer._flat_weights
    zeros = x.new_zeros(1, 2, 4)
    wx, wh, bx, bh = weights[where]
    found = lstm_layer(x, wx, wh, bx, bh, zeros, zeros, reverse, (), 2)
    assert_close(found[0], out[..., where], 1e-6)
    assert_close(found[1][0], h[int(reverse)], 1e-6)
    assert_close(found[2][0], c[int(reverse)], 1e-6)
    with pytest.raises(CaptureError, match="packed"):
        lstm_layer(x, wx, wh, bx, bh, zeros, zeros, reverse, (2, 1), 2)
