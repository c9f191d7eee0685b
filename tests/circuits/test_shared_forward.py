"""Coefficients of both runs and of the base run from two forward passes."""

from __future__ import annotations

import torch

from lrp_engine.circuits import CircuitModel, score
from lrp_engine.circuits.estimators import ESTIMATORS
from lrp_engine.circuits.run_pair import run_both
from lrp_engine.circuits.scores import Direction
from lrp_engine.circuits.shared_forward import find_shared_forward
from lrp_engine.demo.ioi import ioi_pairs, ioi_subject, load_ioi_model

KINDS = ("attn_out", "mlp_out", "q")


def test_both_coefficients_are_those_of_separate_programs() -> None:
    pairs = ioi_pairs(count=4)
    model = CircuitModel(load_ioi_model().double(), pairs.clean)
    nodes = tuple(site.node for site in model.choose(KINDS))
    (small,), (large,) = (part.terms for part in ESTIMATORS["delta_plus"].parts)
    together = run_both(model, pairs, nodes, Direction.DENOISE, (small, large))
    assert set(together.known) == {small, large}
    for term in (small, large):
        alone = run_both(model, pairs, nodes, Direction.DENOISE, (term,))
        assert set(alone.known) == {term}
        for node, c in alone.known[term].items():
            torch.testing.assert_close(together.known[term][node], c, rtol=1e-9, atol=1e-12)
            torch.testing.assert_close(together.base_values[node], alone.base_values[node])
            torch.testing.assert_close(together.other_values[node], alone.other_values[node])


def test_each_run_is_computed_once() -> None:
    model, pairs = ioi_subject()
    nodes = tuple(site.node for site in model.choose(KINDS))
    (small,), (large,) = (part.terms for part in ESTIMATORS["delta_plus"].parts)
    shared = find_shared_forward(model, large, small, nodes)
    assert shared is not None
    count = sum(n.target == torch.ops.aten.tanh.default for n in shared.program.forward.graph.nodes)
    assert count == 2 * model.structure.layers  # one GELU a layer, in two runs
    scores = score(model, pairs, KINDS, estimator="delta_plus")
    assert find_shared_forward(model, large, small, nodes) is shared
    assert scores.estimator == "delta_plus"
