"""`delta` is captum's DeepLift (rescale rule) on nets of rectifiers, from recorded values."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

import lrp_engine as lrp
from tests.support import assert_close

from .record_captum import FILE, NETS, TARGET, rebuild


@pytest.mark.parametrize("name", NETS)
def test_equals_captums_deep_lift(name: str) -> None:
    known = load_file(FILE)
    model, x = rebuild(name, known), known[f"{name}/input"]
    engine = lrp.Engine(model, x, preset="delta", dynamic=False)
    found = engine.explain(x, TARGET, reference=known[f"{name}/baseline"])
    assert_close(next(iter(found.relevance.values())), known[f"{name}/relevance"], 1e-10)


def test_another_baseline_differs() -> None:
    known = load_file(FILE)
    model, x = rebuild("mlp", known), known["mlp/input"]
    found = lrp.Engine(model, x, preset="delta", dynamic=False).explain(x, TARGET, reference=0.0)
    gap = (found.relevance["input"] - known["mlp/relevance"]).abs().max()
    assert torch.isfinite(gap)
    assert gap > 1e-3
