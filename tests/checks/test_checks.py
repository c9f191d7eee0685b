"""Every check passes on a sound model and catches what it is there for."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lrp_engine as lrp
from lrp_engine import checks
from lrp_engine.checks.evidence import Given, split
from lrp_engine.checks.golden import KeptRelevance
from lrp_engine.checks.run_all import check_batches, report_uncovered
from lrp_engine.errors import BudgetError, TargetError
from lrp_engine.method.call import Call, Coefficients
from lrp_engine.method.op import WeightedSum
from tests.support import draw, seeded


def small(bias: bool = True, dtype: torch.dtype = torch.float64) -> nn.Sequential:
    def build() -> nn.Sequential:
        return nn.Sequential(nn.Linear(6, 8, bias), nn.ReLU(), nn.Linear(8, 3, bias))

    model = seeded(build, dtype=dtype)
    assert isinstance(model, nn.Sequential)
    return model


def findings(report: checks.Report) -> dict[str, checks.Finding]:
    return {finding.check: finding for finding in report.findings}


def failed(report: checks.Report) -> list[str]:
    return [finding.check for finding in report.failed]


def checked(model: nn.Module, budget: checks.Budget | None = None, **options: Any) -> checks.Report:
    golden = options.pop("golden", None)
    engine = lrp.Engine(model, draw(4, 6), **options)
    return checks.check(engine, draw(4, 6), 1, budget=budget, golden=golden)


def golden_of(model: nn.Module, path: Path, **options: Any) -> checks.Golden:
    engine = lrp.Engine(model, draw(4, 6), **options)
    evidence = checks.evidence.gather(engine, [Given(draw(4, 6), 1)])
    ledger = evidence.ledger()
    assert ledger is not None
    checks.Golden.of(engine, evidence.kept, ledger).save(path)
    golden = checks.Golden.load(path)
    assert golden is not None
    return golden


def test_a_sound_model_passes() -> None:
    report = checked(small(), checks.Budget(absorbed={"bias": 2.0}, amplification=10.0))
    assert report.ok, report.text()
    found = findings(report)
    assert found["coverage"].measured == 0
    assert found["residual"].measured is not None
    assert found["residual"].measured < found["residual"].limit == 1e-12
    assert found["drift"].status is checks.Status.SKIPPED
    assert report.samples == 4
    assert report.ledger is not None


@lrp.rule("forgets", family=WeightedSum, cites="bach2015, eq. 56")
def forgets(call: Call[WeightedSum], c: Tensor) -> Coefficients:
    """A wrong rule: it passes on 0.1 % too little and does not say so."""
    return tuple(0.999 * back for back in call.vjp(c))


FORGETFUL = """
title = "a wrong rule in the first layer"
extends = "attnlrp"
[[rule]]
family = "weighted_sum"
module = "0"
use = "forgets"
"""


def test_residual_names_the_op_with_the_wrong_rule(tmp_path: Path) -> None:
    preset = tmp_path / "forgetful.toml"
    preset.write_text(FORGETFUL)
    report = checked(small(bias=False), preset=preset, rules=[forgets])
    assert failed(report) == ["residual"]
    (finding,) = report.failed
    assert finding.place is not None
    assert finding.place.module == "0"
    assert "forgets" in finding.message
    assert finding.advice
    assert checked(small(bias=False), checks.Budget(residual=0.01), preset=preset, rules=[forgets])


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_finite_names_the_weight(value: float) -> None:
    model = small()
    engine = lrp.Engine(model, draw(4, 6))
    with torch.no_grad():
        model[2].weight[1, 3] = value
    report = checks.check(engine, draw(4, 6), 1)
    assert failed(report) == ["finite"]
    (finding,) = report.failed
    assert "'2.weight' holds 1 entries" in finding.message
    assert finding.place is not None
    assert finding.place.module == "2"
    assert findings(report)["residual"].status is checks.Status.SKIPPED


class Overflows(nn.Module):
    """An op that makes infinity out of finite numbers, behind a mask of -inf."""

    def forward(self, x: Tensor) -> Tensor:
        masked = x.masked_fill(x < 0, -torch.inf).softmax(-1)
        return (x * 1e300) * 1e10 + masked


def test_finite_names_the_op_that_overflows() -> None:
    report = checked(Overflows().eval())
    assert failed(report) == ["finite"]
    (finding,) = report.failed
    assert finding.place is not None
    assert finding.place.op == "aten.mul.Tensor"
    assert finding.place.file == __file__


def test_a_wrong_target_is_no_finding() -> None:
    engine = lrp.Engine(small(), draw(4, 6))
    with pytest.raises(TargetError):
        checks.check(engine, draw(4, 6), 9)


def test_absorbed_names_the_bias_that_blew_up() -> None:
    model = small()
    with torch.no_grad():
        model[0].bias += 100
    budget = checks.Budget(absorbed={"bias": 0.9})
    assert checked(small(bias=False), budget).ok
    report = checked(model, budget)
    assert failed(report) == ["absorbed"]
    (finding,) = report.failed
    assert finding.place is not None
    assert finding.place.module == "0"
    assert finding.measured == pytest.approx(1.0, abs=0.1)


def test_absorbed_total_and_a_misspelt_cause() -> None:
    assert failed(checked(small(), checks.Budget(absorbed={"total": 1e-6}))) == ["absorbed"]
    report = checked(small(), checks.Budget(absorbed={"biass": 0.1}))
    assert "did you mean 'bias'" in findings(report)["absorbed"].message


def test_absorbed_shares_are_relative_to_what_set_out() -> None:
    model = nn.Linear(2, 1).double().eval()
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, 1.0]]))
        model.bias.fill_(3.0)
    engine = lrp.Engine(model, draw(2, 2))
    report = checks.check(engine, torch.tensor([[1.0, 0.0], [2.0, 0.0]]).double())
    assert findings(report)["absorbed"].measured == pytest.approx(6 / 9)


class Cancels(nn.Module):
    """a x - b x with a and b close: the relevance of both grows large."""

    def __init__(self) -> None:
        super().__init__()
        self.both = nn.Linear(12, 3, bias=False)
        with torch.no_grad():
            self.both.weight[:, 6:] = -0.999 * self.both.weight[:, :6]

    def forward(self, x: Tensor) -> Tensor:
        return self.both(torch.cat([x, x], -1))


def test_amplification_names_the_op_that_cancels() -> None:
    report = checked(seeded(Cancels), checks.Budget(amplification=100.0))
    assert failed(report) == ["amplification"]
    (finding,) = report.failed
    assert finding.place is not None
    assert finding.place.module == "both"
    assert checked(small(bias=False), checks.Budget(amplification=100.0)).ok


def test_golden_result_of_the_same_run(tmp_path: Path) -> None:
    golden = golden_of(small(), tmp_path / "g" / "small")
    report = checked(small(), golden=golden)
    assert report.ok, report.text()
    assert findings(report)["drift"].measured == 0
    assert findings(report)["plan drift"].measured == 0
    text = (tmp_path / "g" / "small.json").read_text()
    assert '"linear.default | 0 | zero"' in text
    assert '"graph_hash"' in text


def test_drift_of_parameters_says_so(tmp_path: Path) -> None:
    model = small()
    golden = golden_of(model, tmp_path / "small")
    with torch.no_grad():
        model[0].weight += 0.1 * draw(8, 6, seed=3)
    report = checked(model, golden=golden)
    assert failed(report) == ["drift"]
    assert "parameters differ" in report.text()


def test_a_changed_preset_is_plan_drift(tmp_path: Path) -> None:
    golden = golden_of(small(), tmp_path / "small", preset="epsilon")
    report = checked(small(), golden=golden, preset="attnlrp")
    assert "plan drift" in failed(report)
    text = report.text()
    assert "linear.default in 0: rule epsilon(epsilon=1e-06, bias=absorb) -> zero" in text
    assert "preset: epsilon -> attnlrp" in text
    allowed = checked(small(), checks.Budget(rules=2), golden=golden, preset="attnlrp")
    assert "plan drift" not in failed(allowed)


def test_an_op_that_came_or_went_is_plan_drift(tmp_path: Path) -> None:
    golden = golden_of(small(), tmp_path / "small")
    longer = nn.Sequential(*small(), nn.Tanh()).eval()
    finding = findings(checked(longer, golden=golden))["plan drift"]
    assert not finding.ok
    assert finding.message.startswith("tanh.default in 3: new")
    shorter = nn.Sequential(*list(small())[:2]).eval()
    assert "gone" in findings(checked(shorter, golden=golden))["plan drift"].message


def test_other_inputs_cannot_be_compared(tmp_path: Path) -> None:
    golden = golden_of(small(), tmp_path / "small")
    engine = lrp.Engine(small(), draw(4, 6))
    report = checks.check(engine, draw(3, 6), 1, golden=golden)
    assert failed(report) == ["drift"]
    assert "inputs or targets differ" in report.text()


def test_damaged_golden_result(tmp_path: Path) -> None:
    golden_of(small(), tmp_path / "small")
    (tmp_path / "small.json").write_text("{}")
    with pytest.raises(BudgetError, match="--update"):
        checks.Golden.load(tmp_path / "small")
    with pytest.raises(BudgetError, match="there is no golden result"):
        checks.Golden.load(tmp_path / "none")


def test_golden_result_is_whole_or_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "small"
    golden = golden_of(small(), path)
    file = tmp_path / "small.json"
    before = file.read_text()
    assert file.stat().st_mode & 0o777 == 0o666 & ~_umask()
    edits = [before[:-40], before.replace('"explained": [', '"explained": [1.0,')]
    for text in edits:
        file.write_text(text)
        with pytest.raises(BudgetError, match="cannot be used") as caught:
            checks.Golden.load(path)
        assert "\n" not in str(caught.value)
    file.write_text(before)

    def full(*_: object, **__: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space"):
        golden.save(path)
    monkeypatch.undo()
    assert file.read_text() == before
    assert [p.name for p in tmp_path.iterdir()] == ["small.json"]
    # Without the digest an edited result would be believed.
    file.write_text(edits[1])
    monkeypatch.setattr("lrp_engine.checks.golden._digest", lambda data: _stored(file))
    assert checks.Golden.load(path).kept.explained[0] == 1.0


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _stored(file: Path) -> str:
    return str(json.loads(file.read_text())["sha256"])


def test_only_part_of_large_relevance_is_kept(tmp_path: Path) -> None:
    model = nn.Linear(10_000, 2, bias=False).eval()
    engine = lrp.Engine(model, torch.ones(2, 10_000))
    kept: KeptRelevance = checks.evidence.gather(
        engine, [Given(draw(20, 10_000, dtype=torch.float32), 0)]
    ).kept
    assert kept.entries["input"].shape == (8, 4096)
    assert kept.sums["input"].shape == (8, 2)


def test_batches_sum_up_to_the_whole() -> None:
    engine = lrp.Engine(small(), draw(4, 6))
    whole = checks.check(engine, draw(10, 6), 1)
    parts = check_batches(engine, split(Given(draw(10, 6), [1] * 10), 4))
    assert parts.samples == whole.samples == 10
    assert whole.ledger is not None
    assert parts.ledger is not None
    assert parts.ledger.explained == pytest.approx(whole.ledger.explained)
    absorbed = [findings(report)["absorbed"].measured for report in (whole, parts)]
    # Amounts of one op may cancel between batches when they are booked together.
    assert absorbed[0] is not None
    assert absorbed[1] is not None
    assert absorbed[1] >= absorbed[0] - 1e-12


def test_split_keeps_what_has_no_samples() -> None:
    given = Given({"x": draw(5, 2), "scale": torch.ones(3)}, {0: 1.0})
    parts = list(split(given, 2))
    assert [len(part.inputs["x"]) for part in parts] == [2, 2, 1]
    assert all(part.inputs["scale"].shape == (3,) for part in parts)
    assert parts[0].target == {0: 1.0}


def test_uncovered_ops_are_reported(tmp_path: Path) -> None:
    class Uncovered(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.special.i1e(x)

    with pytest.raises(lrp.LrpError) as caught:
        lrp.Engine(Uncovered().eval(), draw(2, 3))
    report = report_uncovered(caught.value, "model")  # type: ignore[arg-type]
    assert failed(report) == ["coverage"]
    assert report.failed[0].place is not None
    assert report.failed[0].place.file == __file__


def test_no_relevance_at_all_is_no_pass() -> None:
    engine = lrp.Engine(nn.Sequential(nn.Linear(6, 3), nn.ReLU()).eval().double(), draw(4, 6))
    with torch.no_grad():
        for parameter in engine.captured.tensors.values():
            parameter.fill_(-1.0)
    report = check_batches(engine, [Given(draw(4, 6).abs(), 1)])
    assert "residual" in failed(report)
    assert "nothing was checked" in report.failed[0].message


def test_monitor_follows_training() -> None:
    model = small()
    engine = lrp.Engine(model, draw(4, 6))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    seen = []
    for _ in range(3):
        model.train()
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(draw(4, 6)), torch.tensor([0, 1, 2, 0])).backward()
        optimizer.step()
        model.eval()
        seen.append(checks.monitor(engine, draw(4, 6), 1))
        explained = model(draw(4, 6))[:, 1].detach()
        assert seen[-1]["lrp/explained"] == pytest.approx(float(explained.sum()))
    assert seen[0] != seen[1]
    numbers = seen[-1]
    assert all(isinstance(number, float) for number in numbers.values())
    assert numbers["lrp/residual"] < 1e-12
    total = numbers["lrp/arrived"] + numbers["lrp/absorbed"]
    assert total * float(explained.abs().sum()) == pytest.approx(float(explained.sum()))


def test_budget_tables_are_read_strictly() -> None:
    table = {"residual": 1e-4, "absorbed": {"bias": 0.3}, "drift": {"rules": 2}}
    budget = checks.Budget.of(table, "budget")
    assert (budget.residual, budget.absorbed, budget.rules) == (1e-4, {"bias": 0.3}, 2)
    narrower = checks.Budget.of({"absorbed": {"taylor": 0.1}}, "check", budget)
    assert narrower == replace(budget, absorbed={"bias": 0.3, "taylor": 0.1})
    for wrong in ({"residul": 1}, {"residual": "x"}, {"absorbed": 3}, {"residual": -1}):
        with pytest.raises(BudgetError):
            checks.Budget.of(wrong, "budget")
