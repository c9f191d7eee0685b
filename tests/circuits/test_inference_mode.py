"""Circuits give the same inside torch.inference_mode() as outside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from lrp_engine.circuits import (
    CircuitModel,
    Pairs,
    Splice,
    curve,
    edge_scores,
    feature_curve,
    logit_difference,
    patch,
    patch_features,
    score,
    score_features,
)
from tests.circuits.nets import WIDTH, draw
from tests.circuits.test_features import Dictionary

SAE = Splice("blocks.1.hook_mlp_out", Dictionary(WIDTH, 8))
Run = Callable[[CircuitModel, Pairs], Any]

RUNS: dict[str, Run] = {
    "score": lambda m, p: dict(score(m, p, ["z", "mlp_out"], estimator="relp_ig").values),
    "score of two runs": lambda m, p: dict(score(m, p, ["z"], estimator="delta").values),
    "patch": lambda m, p: dict(patch(m, p, ["blocks.0.hook_mlp_out"]).values),
    "edges": lambda m, p: edge_scores(m, p).values,
    "curve": lambda m, p: torch.tensor(curve(m, p, edge_scores(m, p), sizes=(0.3,)).faithfulness),
    "features": lambda m, p: score_features(m, p, [SAE]).features,
    "patched features": lambda m, p: patch_features(m, p, SAE, [0, None]),
    "circuit of features": lambda m, p: torch.tensor(
        feature_curve(m, p, [SAE], score_features(m, p, [SAE]), (5,)).faithfulness
    ),
}


@pytest.fixture(scope="module")
def drawn() -> tuple[CircuitModel, Pairs]:
    net, clean, corrupt = draw("sequential")
    metric = logit_difference(torch.tensor([1, 2, 3]), torch.tensor([4, 5, 6]))
    return CircuitModel(net, clean), Pairs(clean, corrupt, metric)


@pytest.mark.parametrize("name", RUNS)
def test_inference_mode_changes_no_number(drawn: tuple[CircuitModel, Pairs], name: str) -> None:
    model, pairs = drawn
    outside = RUNS[name](model, pairs)
    with torch.inference_mode():
        made_here = Pairs(pairs.clean.clone(), pairs.corrupt.clone(), pairs.metric)
        inside = RUNS[name](model, made_here)
    for a, b in zip(pytree.tree_leaves(inside), pytree.tree_leaves(outside), strict=True):
        assert torch.equal(a, b) if isinstance(a, Tensor) else a == b


def test_a_circuit_model_is_made_in_inference_mode() -> None:
    net, clean, _ = draw("sequential")
    with torch.inference_mode():
        inside = CircuitModel(net, clean.clone())
    assert len(inside.sites) == len(CircuitModel(net, clean).sites)
