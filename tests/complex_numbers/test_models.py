"""Nets with complex numbers are explained as the same nets in real numbers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import lrp_engine as lrp
from lrp_engine.circuits import CircuitModel, Pairs, score
from lrp_engine.errors import CoverageError
from tests.complex_numbers.models import FNet, LongConvolution, Rotary, Spectrogram
from tests.support import assert_close, assert_conserves, draw, seeded


def both(kind: type[nn.Module]) -> tuple[nn.Module, nn.Module]:
    """The net with complex numbers, and the same in real ones."""
    net, real = seeded(kind), seeded(kind, True)
    real.load_state_dict(net.state_dict())
    return net, real


def gradient(net: nn.Module, x: Tensor, target: int) -> Tensor:
    x = x.clone().requires_grad_()
    return torch.autograd.grad(net(x)[:, target].sum(), x)[0]


def test_rotary_positions_are_those_in_real_numbers() -> None:
    net, real = both(Rotary)
    x, y, x0 = draw(2, 6, 8), draw(3, 9, 8, seed=1), draw(2, 6, 8, seed=2)
    engines = [lrp.Engine(m, x, preset="attnlrp") for m in (net, real)]
    for preset in ("attnlrp", "epsilon", "gradient"):
        found, wanted = (e.with_preset(preset).explain(x, 1).relevance["x"] for e in engines)
        assert_close(found, wanted, 1e-12)
    deltas = [e.with_preset("delta") for e in engines]
    found, wanted = (e.explain(x, 1, reference=x0).relevance["x"] for e in deltas)
    assert_close(found, wanted, 1e-11)
    found, wanted = (e.explain(y, 2).relevance["x"] for e in engines)
    assert_close(found, wanted, 1e-12)


@pytest.mark.parametrize(("kind", "features"), [(FNet, 6), (LongConvolution, 5)])
def test_transforms_are_what_their_matrices_are(kind: type[nn.Module], features: int) -> None:
    net, real = both(kind)
    x, y, x0 = (draw(n, steps, features, seed=n) for n, steps in ((2, 6), (3, 7), (2, 6)))
    engine = lrp.Engine(net, x, preset="attnlrp")
    exact = lrp.Engine(real, x, preset="attnlrp", dynamic=False)
    found = engine.explain(x, 1, ledger=True)
    found.ledger.check()
    assert_close(found.relevance["x"], exact.explain(x, 1).relevance["x"])
    plain = engine.with_preset("gradient")
    assert_close(plain.explain(y, 2).coefficient["x"], gradient(net, y, 2))
    deltas = [e.with_preset("delta") for e in (engine, exact)]
    found, wanted = (e.explain(x, 0, reference=x0 / 2).relevance["x"] for e in deltas)
    assert_close(found, wanted)


def test_spectrograms_conserve_at_any_length() -> None:
    net, x = seeded(Spectrogram), draw(2, 24)
    engine = lrp.Engine(net, x, preset="attnlrp")
    assert_conserves(engine.explain(x, 1, ledger=True), 1e-9)
    y = draw(3, 40, seed=1)
    plain = engine.with_preset("gradient")
    assert_close(plain.explain(y, 0).coefficient["x"], gradient(net, y, 0))


def test_single_precision() -> None:
    net, x = seeded(LongConvolution, dtype=torch.float32), draw(2, 8, 5, dtype=torch.float32)
    found = lrp.explain(net, x, 1, preset="gradient", dynamic=False)
    torch.testing.assert_close(found.coefficient["x"], gradient(net, x, 1))


def test_circuits_see_nodes_behind_complex_numbers() -> None:
    x, x0 = draw(2, 6, 8), draw(2, 6, 8, seed=2)
    pairs = Pairs(x, x0, lambda logits: logits[:, 1])
    subjects = [CircuitModel(net, x) for net in both(Rotary)]
    found, wanted = (score(m, pairs, ["mix"], estimator="relp")["mix"] for m in subjects)
    assert_close(found, wanted)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Rotary, LongConvolution])
def test_compiled(kind: type[nn.Module]) -> None:
    net, x = seeded(kind), draw(2, 6, 8 if kind is Rotary else 5)
    found = lrp.Engine(net, x, preset="attnlrp", compile=True).explain(x, 1).relevance["x"]
    assert_close(found, lrp.explain(net, x, 1).relevance["x"])


def unsplit(*_: object) -> None:
    """Leave complex values as they are."""


def test_without_the_pass_complex_values_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lrp_engine.canonicalise.split_complex", unsplit)
    monkeypatch.setattr("lrp_engine.plan.prepare.split_complex", unsplit)
    with pytest.raises(CoverageError, match="complex values: no rule passes relevance"):
        lrp.Engine(seeded(Rotary), draw(2, 6, 8), dynamic=False)
