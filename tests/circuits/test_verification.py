"""The verifier itself: right scores pass, wrong ones do not."""

from dataclasses import replace

import pytest
import torch
from scipy import stats

from lrp_engine.circuits import (
    CircuitModel,
    Pairs,
    Trust,
    choose_estimator,
    patch,
    score,
    verify,
)
from lrp_engine.circuits.agreement import pearson, spearman

KINDS = ["attn_out", "mlp_out"]


def test_correlations() -> None:
    torch.manual_seed(0)
    a, b = torch.randn(2, 40)
    b[10:20] = b[3]
    assert pearson(a, b) == pytest.approx(stats.pearsonr(a, b)[0])
    assert spearman(a, b) == pytest.approx(stats.spearmanr(a, b)[0])
    assert pearson(a, torch.ones(40)) == 0


def test_exact_scores_are_trusted_and_noise_is_not(model: CircuitModel, pairs: Pairs) -> None:
    exact = patch(model, pairs, KINDS)
    found = verify(model, pairs, exact, sample=30, top=5).verification
    assert found is not None
    assert found.pearson == pytest.approx(1)
    assert found.trust is Trust.VALUES
    torch.manual_seed(0)
    noise = {name: torch.randn_like(v) for name, v in exact.values.items()}
    wrong = verify(model, pairs, replace(exact, values=noise), sample=30, top=5).verification
    assert wrong is not None
    assert wrong.trust is Trust.NONE
    assert "do not trust" in wrong.statement


def test_estimates_find_more_than_chance(model: CircuitModel, pairs: Pairs) -> None:
    found = verify(model, pairs, score(model, pairs, KINDS), sample=30, top=5).verification
    assert found is not None
    assert found.top_effect > 2 * found.random_effect
    assert sum(row.top for row in found.rows) == 5


def test_the_estimator_chosen_is_the_best_measured(model: CircuitModel, pairs: Pairs) -> None:
    choice = choose_estimator(
        model, pairs, KINDS, estimators=["gradient", "relp_ah", "eap_ig"], sample=40, slack=0
    )
    quality = {n: v.pearson + v.rank for n, v in choice.verifications.items()}
    assert choice.estimator.name == max(quality, key=lambda n: quality[n])
    assert "chosen" in choice.table()
