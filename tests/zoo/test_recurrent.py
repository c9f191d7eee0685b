"""Recurrent layers in single precision, where torch may use a kernel of its own."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import lrp_engine as lrp
from lrp_engine.canonicalise import recipes
from lrp_engine.errors import CaptureError

from .entry import ids
from .plain import Recurrent

WHOLE = torch.ops.aten.lstm.input
RIGHT = recipes.RECIPES[WHOLE]


def lstm() -> Recurrent:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Recurrent(nn.LSTM).eval()


def test_an_lstm_in_single_precision_is_taken_apart_and_proved() -> None:
    model, words = lstm(), ids(3, 5)
    engine = lrp.Engine(model, words, preset="attnlrp")
    assert engine.captured.taken_apart == (str(WHOLE),)
    assert f"taken apart: {WHOLE}" in engine.provenance.notes
    ex = engine.explain(words, 1, ledger=True).check()
    with torch.no_grad():
        assert torch.allclose(ex.output, model(words), rtol=1e-5, atol=1e-6)
    double = lrp.explain(lstm().double(), words, 1, preset="attnlrp").relevance["words"].float()
    assert torch.allclose(ex.relevance["words"], double, rtol=1e-3, atol=1e-5)


def test_parts_that_give_another_result_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*args):
        out, *rest = RIGHT(*args)
        return [out * 1.01, *rest]

    model, words = lstm(), ids(3, 5)
    monkeypatch.setitem(recipes.RECIPES, WHOLE, wrong)
    with pytest.raises(CaptureError, match="does not reproduce"):
        lrp.Engine(model, words, preset="attnlrp").explain(words, 1)
