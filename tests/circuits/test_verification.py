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
from lrp_engine.circuits.agreement import measure_agreement, pearson, spearman
from lrp_engine.circuits.magnitudes import CutSums

KINDS = ["attn_out", "mlp_out"]


def test_correlations() -> None:
    torch.manual_seed(0)
    a, b = torch.randn(2, 40)
    b[10:20] = b[3]
    assert pearson(a, b) == pytest.approx(stats.pearsonr(a, b)[0])
    assert spearman(a, b) == pytest.approx(stats.spearmanr(a, b)[0])
    assert pearson(a, torch.ones(40)) == 0


def test_agreement_sees_scale_and_prompts() -> None:
    torch.manual_seed(0)
    exact = torch.randn(30, 5, dtype=torch.float64)
    doubled = measure_agreement(2 * exact, exact)
    assert (doubled.pearson, doubled.per_prompt, doubled.rank) == pytest.approx((1, 1, 1))
    assert doubled.error == pytest.approx(1)  # as far off as predicting zero
    assert measure_agreement(torch.zeros_like(exact), exact).error == pytest.approx(1)
    mixed = measure_agreement(exact[:, [1, 2, 3, 4, 0]], exact)
    expected = [stats.pearsonr(exact[:, (i + 1) % 5], exact[:, i])[0] for i in range(5)]
    assert mixed.pearson == pytest.approx(1)  # of the means: blind to a swap of prompts
    assert mixed.per_prompt == pytest.approx(sum(expected) / 5)


def test_sums_far_from_the_gap_are_a_warning() -> None:
    gap = torch.tensor([1.0, 3.0])
    assert CutSums({"a": gap}, gap).warning is None
    assert CutSums({}, gap).statement is None
    found = CutSums({"a": gap, "b": 2 * gap}, gap)
    assert found.ratios == {"a": 1, "b": 2}
    assert found.error == 3
    assert "the scores at b sum to 2.00 times" in (found.warning or "")


def test_scores_of_the_right_order_and_the_wrong_size_are_not_trusted_as_values(
    model: CircuitModel, pairs: Pairs
) -> None:
    exact = patch(model, pairs, KINDS)
    large = replace(exact, values={name: 3 * v for name, v in exact.values.items()})
    found = verify(model, pairs, large, sample=30, top=5).verification
    assert found is not None
    assert found.pearson == pytest.approx(1)
    assert found.trust is Trust.ORDER
    assert "Magnitudes are off" in found.statement


def test_relp_mid_carries_a_warning(model: CircuitModel, pairs: Pairs) -> None:
    off, right = (score(model, pairs, "resid_pre", estimator=e) for e in ("relp_mid", "delta"))
    assert "magnitudes are off" in " ".join(off.notes)
    assert not right.notes


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
