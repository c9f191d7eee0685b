"""Long chains: factors pile up, sums become too small for the dtype; accounts still hold."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import lrp_engine as lrp
from lrp_engine import rule
from lrp_engine.errors import ConservationError
from lrp_engine.method.call import Call, Coefficients
from lrp_engine.method.op import Linear
from lrp_engine.propagate.flows import travels
from lrp_engine.propagate.ledger import Account, floor_for
from tests.support import assert_close

STEPS = 140  # 2**140 is no number in single precision


def halve_often(x: Tensor) -> Tensor:
    """Multiply by a live factor near 1 at every step: the uniform rule halves every time."""
    state = x
    for _ in range(STEPS):
        state = state * (x + 1)
    return state


def exact_relevance(x: Tensor) -> Tensor:
    """R at x: what is left of the state's halves, and of the halves of the factors x + 1."""
    out = x * (x + 1) ** STEPS
    left, found = out, torch.zeros_like(x)
    for _ in range(STEPS):
        left = left / 2
        found = found + left * x / (x + 1)
    return found + left


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_factors_of_many_halves_stay_numbers(dtype: torch.dtype) -> None:
    x = torch.tensor([[0.02, -0.01, 0.03]], dtype=dtype)
    found = lrp.explain(halve_often, x, target=0).relevance["x"]
    wanted = torch.zeros_like(x)
    wanted[:, 0] = exact_relevance(x[:, 0].double()).to(dtype)
    within = {torch.float32: 1e-5, torch.float16: 0.1}[dtype]
    assert_close(found.double(), wanted.double(), within)


def test_two_runs_have_the_same_factors() -> None:
    x, base = torch.full((1, 2), 0.03), torch.full((1, 2), -0.03)
    ex = lrp.Engine(halve_often, x, preset="delta").explain(x, target=0, reference=base)
    change = halve_often(x.double()) - halve_often(base.double())
    assert_close(ex.relevance["x"].double().sum(), change[0, 0], 1e-4)


def test_factors_beyond_half_precision_stay_in_the_graph() -> None:
    def scaled(x: Tensor) -> Tensor:
        return (x * 1e-30 * 1e30).relu()

    found = lrp.explain(scaled, torch.ones(1, 2), target=0).relevance["x"]
    assert_close(found, torch.tensor([[1.0, 0.0]]), 1e-6)
    assert travels(0.5)
    assert not travels(1e-30)


@rule("forgetful", family=Linear, cites="own")
def forgetful(call: Call[Linear], c: Tensor) -> Coefficients:
    """Lose a tenth on the way, on purpose."""
    return tuple(None if back is None else 0.9 * back for back in call.vjp(c))


WRONG = """
title = "wrong"
cites = "own"
extends = "attnlrp"
[[rule]]
family = "linear"
use = "forgetful"
"""


@pytest.mark.parametrize("size", [1.0, 1e-24])
def test_a_wrong_rule_is_found_however_small_relevance_is(size: float, tmp_path: Path) -> None:
    preset = tmp_path / "wrong.toml"
    preset.write_text(WRONG)
    x = torch.full((1, 3), size)
    ex = lrp.explain(lambda x: x + x.flip(-1), x, target=0, preset=preset, rules=[forgetful])
    with pytest.raises(ConservationError, match="forgetful"):
        ex.check()


def test_what_is_too_small_for_the_dtype_is_no_residual() -> None:
    noise = Account("n", "op", "rule", "here", 3e-41, 2.9e-41, {}, 3e-41, 3e-41)
    assert noise.error > 1e-2
    assert replace(noise, floor=floor_for(torch.float32)).error == 0
    assert replace(noise, floor=floor_for(torch.float64)).error > 1e-2
    # Half precision is summed in single: what underflows in its coefficients is found.
    assert floor_for(torch.float16) == floor_for(torch.bfloat16) == floor_for(torch.float32)
    lost = Account("n", "op", "rule", "here", 6e-8, 0.0, {}, 6e-8, 0.0, floor_for(torch.float16))
    assert lost.error == 1


def test_accounts_of_a_long_recurrence_balance_though_they_become_denormal() -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 14, 3)
    net = Last(1e-4).eval()
    ex = lrp.explain(net, x, target=0)
    tiny = [a for a in ex.ledger.accounts if 0 < a.size < 1e-38]
    assert tiny
    ex.check()


class Last(nn.Module):
    """What is left of an echo that fades by `keep` at every step."""

    def __init__(self, keep: float) -> None:
        super().__init__()
        self.keep = keep
        self.enter, self.out = nn.Linear(3, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        state = x.new_zeros(x.shape[0], 4)
        for entering in self.enter(x).unbind(1):
            state = self.keep * state * entering.tanh() + entering
        return self.out(state)
