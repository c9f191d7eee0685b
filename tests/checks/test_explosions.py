"""Relevance that balances and explodes is no explanation: check() names the op."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from lrp_engine import Engine, Explanation, checks
from lrp_engine.checks.asserts import assert_conserved
from lrp_engine.errors import ExplosionError
from lrp_engine.results import explanation as results


class Nearly(nn.Module):
    """The difference of two nearly equal numbers, divided by what it usually is."""

    def __init__(self, gap: float) -> None:
        super().__init__()
        self.difference = nn.Linear(2, 1, bias=False)
        self.difference.weight = nn.Parameter(torch.tensor([[1.0, -1.0]]))
        self.gap = gap

    def forward(self, x: Tensor) -> Tensor:
        return self.difference(x) / self.gap * 5


class Chain(nn.Module):
    """Several sums that cancel in part: none explodes by itself."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.parts = nn.Sequential(*(nn.Linear(2, 2, bias=False) for _ in range(depth)))
        for part in self.parts:
            part.weight = nn.Parameter(torch.tensor([[50.0, -49.0], [0.0, 1.0]]))

    def forward(self, x: Tensor) -> Tensor:
        return self.parts(x)


X = torch.tensor([[1.0, 1.0 - 1e-8]], dtype=torch.float64)


def explained(preset: str = "epsilon_plus") -> Explanation:
    return Engine(Nearly(1e-8).double().eval(), X, preset=preset).explain(X, 0, ledger=True)


@pytest.mark.parametrize("preset", ["epsilon_plus", "attnlrp", "epsilon_alpha2_beta1", "gradient"])
def test_check_names_the_op(preset: str) -> None:
    found = Engine(Nearly(1e-8).double().eval(), X, preset="attnlrp").with_preset(preset)
    result = found.explain(X, 0, ledger=True)
    if preset == "attnlrp":
        result.ledger.check()  # every account balances
        assert float(result.explained) == pytest.approx(5.0, rel=1e-6)
    if float(result.relevance["x"].abs().sum()) < 1e6:
        pytest.skip("the stabiliser of this preset keeps it small")
    with pytest.raises(ExplosionError, match=r"explodes at linear .* difference .*stabiliser"):
        result.check()
    result.check(amplification=math.inf, growth=math.inf)


def test_a_preset_that_damps_negative_parts_passes() -> None:
    explained("gamma").check()


def test_lrp_check_and_assert_conserved_hold_the_limits_by_default() -> None:
    engine = Engine(Nearly(1e-8).double().eval(), X, preset="attnlrp")
    report = checks.check(engine, X, 0)
    assert [f.check for f in report.failed] == ["amplification", "growth"]
    assert report.failed[0].place is not None
    assert report.failed[0].place.module == "difference"
    assert "epsilon" in report.failed[0].advice
    assert checks.check(engine, X, 0, budget=checks.Budget(amplification=1e12, growth=1e12)).ok
    result = engine.explain(X, 0, ledger=True)
    with pytest.raises(AssertionError, match="explodes"):
        assert_conserved(result)
    assert_conserved(result, amplification=1e12, growth=1e12)


def test_growth_over_many_ops_is_an_explosion() -> None:
    x = torch.ones(1, 2, dtype=torch.float64)
    model = Chain(4).double().eval()
    result = Engine(model, x, preset="attnlrp").explain(x, 0, ledger=True)
    assert max(a.amplification for a in result.ledger.accounts) < 1e4
    with pytest.raises(ExplosionError, match="times what set out"):
        result.check()
    result.check(growth=1e12)


def test_limits_are_read_from_toml() -> None:
    budget = checks.Budget.of({"growth": 10, "amplification": 3.0}, "lrp.toml")
    assert (budget.growth, budget.amplification) == (10.0, 3.0)
    assert (checks.Budget().growth, checks.Budget().amplification) == (1e5, 1e4)


def test_without_the_mechanism_an_explosion_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "find_explosion", lambda *_: None)
    explained("attnlrp").check()
