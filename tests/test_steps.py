"""Recurrences as scans: what a loop gives, for every layer, state, direction, length and preset."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import lrp_engine as lrp
from lrp_engine.errors import RuleError
from lrp_engine.graphs.loops import find_loops
from lrp_engine.kernels import run_steps
from lrp_engine.kernels.scan import _text_of, run_through, scan_steps
from lrp_engine.kernels.step_program import read_step
from tests.support import assert_close, draw

RUN = torch.ops.lrp_engine.run_steps.default


def cell(layer: nn.RNNBase, entering: Tensor, states: Any, end: str) -> tuple[Tensor, ...]:
    """One step, written from the layers' documentation."""
    w, b, p = (getattr(layer, name + end, None) for name in ("weight_hh", "bias_hh", "weight_hr"))
    h, *c = states
    if isinstance(layer, nn.LSTM):
        i, f, k, o = (F.linear(h, w, b) + entering).chunk(4, -1)
        new = f.sigmoid() * c[0] + i.sigmoid() * k.tanh()
        h = o.sigmoid() * new.tanh()
        return (h if p is None else F.linear(h, p)), new
    if isinstance(layer, nn.GRU):
        (rx, zx, nx), (rh, zh, nh) = entering.chunk(3, -1), F.linear(h, w, b).chunk(3, -1)
        n = (nx + nh * (rh + rx).sigmoid()).tanh()
        return ((h - n) * (zh + zx).sigmoid() + n,)
    activation = torch.relu if layer.nonlinearity == "relu" else torch.tanh
    return (activation(F.linear(h, w, b) + entering),)


def loop(layer: nn.RNNBase, x: Tensor, first: Any) -> tuple[Tensor, tuple[Tensor, ...]]:
    """A layer as a Python loop over its steps: (time, batch, features) -> outputs, last states."""
    lasts, ways = [], 1 + layer.bidirectional
    for number in range(layer.num_layers):
        outputs = []
        for way in range(ways):
            end = f"_l{number}" + "_reverse" * way
            weight, bias = getattr(layer, "weight_ih" + end), getattr(layer, "bias_ih" + end)
            states = tuple(s[number * ways + way] for s in first)
            entering, found = F.linear(x, weight, bias).unbind(0), []
            for gates in reversed(entering) if way else entering:
                states = cell(layer, gates, states, end)
                found.append(states[0])
            outputs.append(torch.stack(found[::-1] if way else found))
            lasts.append(states)
        x = torch.cat(outputs, -1)
    return x, tuple(torch.stack(parts) for parts in zip(*lasts, strict=True))


class Net(nn.Module):
    """Reads every output of a layer; the states before the first step are inputs, or constants."""

    def __init__(self, layer: nn.RNNBase, loops: bool, constant: bool = False) -> None:
        super().__init__()
        self.layer, self.loops, self.constant = layer, loops, constant
        self.eval()

    def forward(self, x: Tensor, *states: Tensor) -> Tensor:
        layer = self.layer
        x = x.transpose(0, 1) if layer.batch_first else x
        first = states or self.first(x)
        if self.loops:
            y, ends = loop(layer, x, first)
        else:
            given = first if len(first) == 2 else first[0]
            y, ends = layer(x.transpose(0, 1) if layer.batch_first else x, given)
            y = y.transpose(0, 1) if layer.batch_first else y
            ends = ends if isinstance(ends, tuple) else (ends,)
        return sum((end.sum((0, 2)) for end in ends), y.square().sum((0, 2))).unsqueeze(-1)

    def first(self, x: Tensor) -> tuple[Tensor, ...]:
        count = self.layer.num_layers * (1 + self.layer.bidirectional)
        sizes = [self.layer.proj_size or self.layer.hidden_size]
        sizes += [self.layer.hidden_size] * isinstance(self.layer, nn.LSTM)
        fill = 0.5 if self.constant else 0.0
        return tuple(x.new_full((count, x.shape[1], size), fill) for size in sizes)


@cache
def layer_of(kind: type[nn.RNNBase], **choice: Any) -> nn.RNNBase:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return kind(2, 3, **choice).double().eval()


TWO = {"num_layers": 2, "bidirectional": True}
CASES = {
    "lstm": (nn.LSTM, {"proj_size": 2} | TWO, "attnlrp", True),
    "lstm, constant": (nn.LSTM, {}, "epsilon", False),
    "gru": (nn.GRU, {"batch_first": True, "bidirectional": True}, "lstm_all", True),
    "relu": (nn.RNN, {"nonlinearity": "relu"}, "epsilon_plus_flat", True),
    "tanh": (nn.RNN, {}, "gradient", True),
}


@pytest.mark.parametrize("name", CASES)
def test_a_scan_gives_the_relevance_of_the_loop(name: str) -> None:
    kind, choice, preset, live = CASES[name]
    layer = layer_of(kind, **choice)
    steps, batch = 3, 2
    x = draw(*((batch, steps) if layer.batch_first else (steps, batch)), 2, seed=1)
    nets = [Net(layer, loops, constant=not live) for loops in (False, True)]
    inputs = (x, *(s + draw(*s.shape, seed=2) for s in nets[0].first(draw(steps, batch, 2))))
    inputs = inputs if live else (x,)
    mine, wanted = (
        lrp.explain(net, inputs, target=0, preset=preset, dynamic=False).relevance for net in nets
    )
    assert dict(mine).keys() == dict(wanted).keys()
    for source in mine:
        assert_close(mine[source], wanted[source], 1e-12)


def test_two_runs_of_a_scan_give_what_those_of_the_loop_give() -> None:
    layer, x, base = layer_of(nn.LSTM), draw(3, 2, 2, seed=1), draw(3, 2, 2, seed=2)
    mine, wanted = (
        lrp.Engine(Net(layer, loops), x, preset="delta", dynamic=False).explain(
            x, target=0, reference=base
        )
        for loops in (False, True)
    )
    assert_close(mine.relevance["x"], wanted.relevance["x"], 1e-12)


@cache
def of_any_length() -> lrp.Engine:
    return lrp.Engine(Net(layer_of(nn.GRU), False), draw(4, 3, 2), preset="epsilon")


@pytest.mark.parametrize("steps", [1, 3, 40])
def test_one_capture_serves_any_length(steps: int) -> None:
    x = draw(steps, 3, 2, seed=steps)
    mine = of_any_length().explain(x, target=0).relevance["x"]
    wanted = lrp.explain(Net(layer_of(nn.GRU), True), x, target=0, preset="epsilon", dynamic=False)
    assert_close(mine, wanted.relevance["x"], 1e-12)


def test_the_ledger_closes_over_a_long_sequence() -> None:
    found = of_any_length().explain(draw(300, 3, 2, seed=1), target=0, ledger=True).check()
    assert abs(found.ledger.residual) < 1e-9 * found.ledger.size


def test_several_targets_together_and_gradients_of_relevance() -> None:
    engine, x = of_any_length(), draw(5, 3, 2, seed=1)
    alone = [engine.explain(x, target=lambda y, i=i: y[i, 0]).relevance["x"] for i in (0, 1)]
    for mine, wanted in zip(
        engine.explain_all(x, [lambda y: y[0, 0], lambda y: y[1, 0]]), alone, strict=True
    ):
        assert_close(mine.relevance["x"], wanted, 1e-12)
    x.requires_grad_()
    by_loop = lrp.Engine(Net(layer_of(nn.GRU), True), x.detach(), preset="epsilon", dynamic=False)
    a, b = (
        torch.autograd.grad(
            e.explain(x, target=0, create_graph=True).relevance["x"].square().sum(), x
        )[0]
        for e in (engine, by_loop)
    )
    assert_close(a, b, 1e-9)


def test_the_graph_does_not_grow_with_the_length() -> None:
    def count(steps: int) -> int:
        x = draw(steps, 2, 2)
        engine = lrp.Engine(Net(layer_of(nn.LSTM), False), x, preset="epsilon", dynamic=False)
        assert len(find_loops(engine.plan.captured.graph)) == 1
        return len(engine.plan.captured.graph.nodes)

    assert count(200) == count(3)


class Own(nn.Module):
    """A recurrence of the user's own."""

    def forward(self, x: Tensor) -> Tensor:
        step = lambda x, h, _: [torch.tanh(h[0] + x[0])]  # noqa: E731
        return scan_steps(step, [x], [x[:1]], [])[0].sum(0)


def test_a_value_within_a_step_cannot_be_explained_by_itself() -> None:
    engine = lrp.Engine(Own().eval(), draw(4, 2, 3), preset="epsilon", output="tanh")
    with pytest.raises(RuleError, match="within a step of a recurrent layer"):
        engine.explain(draw(4, 2, 3), target=0)


def rotate(x: Any, states: Any, fixed: Any) -> list[Tensor]:
    h, c = states
    c = c * x[0].sigmoid() + F.linear(h, fixed[0])
    return [torch.tanh(c), c]


@settings(max_examples=8, deadline=None)
@given(st.integers(1, 5), st.integers(1, 3), st.integers(1, 3), st.booleans(), st.booleans())
def test_scans_compute_what_a_loop_computes(
    steps: int, batch: int, size: int, reverse: bool, apart: bool
) -> None:
    x, weight = draw(steps, batch, size, seed=1), draw(size, size, seed=2)
    states = [draw(1, batch, size, seed=3), draw(1, batch, size, seed=4)]
    run = run_through if apart else scan_steps
    found = run(rotate, [x], states, [weight], reverse)
    wanted = []
    for t in reversed(range(steps)) if reverse else range(steps):
        states = rotate([x[t : t + 1]], states, [weight])
        wanted.append(states)
    for mine, parts in zip(found, zip(*wanted, strict=True), strict=True):
        assert_close(mine, torch.cat(parts[::-1] if reverse else parts), 1e-12)


@pytest.mark.parametrize("reverse", [False, True])
def test_torch_differentiates_a_scan(reverse: bool) -> None:
    each, states, weight = draw(3, 1, 1, seed=1), draw(2, 1, 1, 1, seed=2), draw(1, 1, seed=3)
    text = _text_of(rotate, [each], [*states], [weight])

    def run(x: Tensor, h: Tensor, w: Tensor) -> Tensor:
        return torch.stack(run_steps([x], [*h], [w], text, reverse))

    given = [x.requires_grad_() for x in (each, states, weight)]
    assert torch.autograd.gradcheck(run, given)
    assert torch.autograd.gradgradcheck(run, given)


def test_booleans_of_a_step_are_not_differentiated() -> None:
    x, there = draw(3, 1, 2, seed=1).requires_grad_(), torch.tensor([1, 0, 1]).bool()
    step = lambda each, h, _: [torch.where(each[1], each[0] * h[0], h[0])]  # noqa: E731
    (found,) = scan_steps(step, [x, there.reshape(3, 1, 1)], [torch.ones_like(x[:1])], [])
    (back,) = torch.autograd.grad(found[-1].sum(), x)
    assert_close(back, torch.stack([x[2], torch.zeros_like(x[0]), x[0]]), 1e-12)


def test_a_step_that_depends_on_its_batch_is_refused() -> None:
    def step(x: Any, states: Any, _: Any) -> list[Tensor]:
        return [states[0] + x[0] / x[0].shape[1]]

    class Run(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return scan_steps(step, [x], [torch.zeros_like(x[:1])], [])[0].sum(0)

    free = {"x": {1: torch.export.Dim.AUTO}}
    with pytest.raises(Exception, match="depends on the size of its batch"):
        torch.export.export(Run(), (draw(4, 2, 3),), dynamic_shapes=free, strict=False)


def test_the_text_of_a_step_calls_nothing_but_ops() -> None:
    for name in ("os.system.default", "aten.no_such_op.default", "system"):
        with pytest.raises(ValueError, match="no op of torch"):
            read_step(f'[1,[["{name}",[{{"node":0}}],{{}}]],[{{"node":1}}]]')
