"""A user's own rules in relevance form: `Engine(rules=...)`, a preset file, the ledger."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lrp_engine as lrp
from lrp_engine.errors import PresetError, RuleError
from lrp_engine.method.call import Call, Coefficients, Form
from lrp_engine.method.op import (
    Linear,
    Op,
    Pointwise,
    WeightedSum,
)
from lrp_engine.method.rule import rule

from .bench import preset_file


def spread(x: Tensor, relevance: Tensor) -> Tensor:
    """Each row's relevance, in equal parts over the row of x."""
    return (relevance.sum(-1, keepdim=True) / x.shape[-1]).expand_as(x)


@rule("own_flat", family=WeightedSum, cites="lapuschkin2019", gives=Form.RELEVANCE)
def flat(call: Call, c: Tensor) -> Coefficients:
    """Gives R: the same to every input, whatever its value, bias and all."""
    return call.only(spread(call["input"], c * call.out))


@rule("flat_through", family=WeightedSum, cites="own", takes=Form.RELEVANCE, gives=Form.RELEVANCE)
def flat_through(call: Call, relevance: Tensor) -> Coefficients:
    """Takes R and gives R."""
    return call.only(spread(call["input"], relevance))


@rule("own_proportional", family=WeightedSum, cites="own", takes=Form.RELEVANCE, absorbs="bias")
def proportional(call: Call, relevance: Tensor) -> Coefficients:
    """Takes R and gives c: LRP-0 as the textbook writes it."""
    return call.only((relevance / call.out) @ call["weight"])


@rule("through", family=Pointwise, cites="own", takes=Form.RELEVANCE, gives=Form.RELEVANCE)
def through(call: Call, relevance: Tensor) -> Coefficients:
    """R_in = R_out, said directly."""
    return call.only(relevance)


RULES = (flat, flat_through, proportional, through)


def net() -> nn.Sequential:
    torch.manual_seed(5)
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double().eval()


def inputs() -> Tensor:
    x = torch.randn(2, 4, generator=torch.Generator().manual_seed(6)).double()
    x[0, 1] = 0.0
    return x


def explain(
    model: nn.Module, folder: Path, *rows: dict[str, Any], x: Tensor | None = None
) -> lrp.Explanation:
    x = inputs() if x is None else x
    engine = lrp.Engine(model, x, preset=preset_file(folder, *rows), rules=RULES)
    result = engine.explain(x, 1, ledger=True)
    result.ledger.check()
    assert abs(result.ledger.residual) <= 1e-12 * max(a.size for a in result.ledger.accounts)
    return result


def test_flat_everywhere_is_uniform_and_loses_nothing(tmp_path: Path) -> None:
    model = net()
    row = {"family": "weighted_sum", "use": "flat_through"}
    result = explain(model, tmp_path, row, {"family": "pointwise", "use": "through"})
    expected = (model(inputs())[:, 1:2] / 4).expand(2, 4)
    torch.testing.assert_close(result.relevance["input"], expected, rtol=1e-13, atol=0)
    assert not any(result.ledger.absorbed.values())


def test_a_rule_may_take_the_one_form_and_give_the_other(tmp_path: Path) -> None:
    """On its way to a rule that takes c, relevance is divided by the activation, stabilised."""
    model = net()
    result = explain(model, tmp_path, {"family": "weighted_sum", "use": "own_flat"})
    expected = (model(inputs())[:, 1:2] / 4).expand(2, 4)
    torch.testing.assert_close(result.relevance["input"], expected, rtol=1e-10, atol=0)


def test_relevance_stays_at_a_zero_input(tmp_path: Path) -> None:
    result = explain(net(), tmp_path, {"family": "weighted_sum", "use": "own_flat"})
    assert inputs()[0, 1] == 0
    assert result.relevance["input"][0, 1] == result.relevance["input"][0, 0] != 0


def test_rules_that_take_relevance_between_rules_that_give_coefficients(tmp_path: Path) -> None:
    found = explain(net(), tmp_path, {"family": "weighted_sum", "use": "own_proportional"})
    expected = explain(net(), tmp_path, {"family": "weighted_sum", "use": "zero"})
    torch.testing.assert_close(
        found.relevance["input"], expected.relevance["input"], rtol=1e-10, atol=1e-14
    )
    assert found.ledger.absorbed["bias"] == pytest.approx(expected.ledger.absorbed["bias"])


class Fork(nn.Module):
    """Two users of one hidden value: under one rule each."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(7)
        self.first, self.left, self.right = (nn.Linear(4, 4).double() for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.tanh(self.first(x))
        return self.left(hidden) + self.right(hidden)


@pytest.mark.parametrize("after", ["identity", "through"])
def test_forms_add_up_where_a_value_is_used_twice(after: str, tmp_path: Path) -> None:
    """Whether the next rule takes c or R: R of one branch and a * c of the other are one sum."""
    model, x = Fork().eval(), inputs()
    rows = (
        {"family": "weighted_sum", "module": "left", "use": "own_flat"},
        {"family": "pointwise", "use": after},
    )
    result = explain(model, tmp_path, *rows, x=x)
    with torch.no_grad():
        z = model.first(x)
        hidden = torch.tanh(z)
        at_hidden = spread(hidden, model.left(hidden)[:, 1:2]) + hidden * model.right.weight[1]
        expected = x * ((at_hidden / z) @ model.first.weight)
    torch.testing.assert_close(result.relevance["input"], expected, rtol=1e-10, atol=1e-13)


def test_forms_add_up_at_a_source(tmp_path: Path) -> None:
    class TwoWays(Fork):
        def forward(self, x: Tensor) -> Tensor:
            return self.left(x) + self.right(x)

    model, x = TwoWays().eval(), inputs()
    row = {"family": "weighted_sum", "module": "left", "use": "own_flat"}
    result = explain(model, tmp_path, row, x=x)
    with torch.no_grad():
        expected = spread(x, model.left(x)[:, 1:2]) + x * model.right.weight[1]
    torch.testing.assert_close(result.relevance["input"], expected, rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(
        (result.coefficient["input"] * x)[1], expected[1], rtol=1e-10, atol=1e-15
    )


def test_what_no_coefficient_can_carry_is_booked(tmp_path: Path) -> None:
    """Relevance at a dead relu: lost where a coefficient is wanted, cut off by the winner,
    handed on by 'pass'; the ledger says how much."""
    model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3)).double().eval()

    def booked(use: str, cause: str) -> float:
        rows = ({"family": "weighted_sum", "use": "own_flat"}, {"family": "selection", "use": use})
        return explain(model, tmp_path, *rows).ledger.absorbed.get(cause, 0.0)

    with torch.no_grad():
        hidden = model[:2](inputs())
        at_hidden = spread(hidden, model(inputs())[:, 1:2])
    lost = float(at_hidden[hidden == 0].sum())
    assert lost != 0
    assert booked("gradient", "zero activation") == pytest.approx(lost, rel=1e-9)
    assert booked("winner", "constant") == pytest.approx(lost, rel=1e-9)
    assert booked("pass", "constant") == pytest.approx(0.0, abs=1e-12)


def test_a_users_op_replaces_nothing_silently(tmp_path: Path) -> None:
    again = Linear(target=torch.ops.aten.add.Tensor, operands=("self", "other"))
    for entry in (again, flat):
        entries: tuple[Op | Any, ...] = (entry, entry) if entry is flat else (entry,)
        with pytest.raises(RuleError, match="twice"):
            lrp.Engine(net(), inputs(), rules=entries)


def test_a_preset_without_its_rule_is_refused(tmp_path: Path) -> None:
    row = {"family": "weighted_sum", "use": "own_flat"}
    with pytest.raises(PresetError, match="flat"):
        lrp.Engine(net(), inputs(), preset=preset_file(tmp_path, row))


def test_a_rule_that_returns_too_little_is_refused(tmp_path: Path) -> None:
    @rule("short", family=WeightedSum, cites="own")
    def short(call: Call, c: Tensor) -> Coefficients:
        return ()

    row = {"family": "weighted_sum", "use": "short"}
    engine = lrp.Engine(net(), inputs(), preset=preset_file(tmp_path, row), rules=[short])
    with pytest.raises(RuleError, match="0 coefficients for 1 operand"):
        engine.explain(inputs(), 1)
