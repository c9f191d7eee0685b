"""Presets keep to the ranges that rules declare for their parameters, however they are made."""

import inspect
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lrp_engine import Engine, load_preset, rule
from lrp_engine.errors import PresetError
from lrp_engine.method.op import WeightedSum
from lrp_engine.method.parameters import Range, Share, read_parameter
from lrp_engine.method.registry import standard
from tests.support import draw, seeded

WRONG = [-1, float("inf"), float("nan"), True, "1", None, [1.0]]
PARAMETERS = [(r, p) for r in standard().rules.values() for p in r.parameters]


def small() -> torch.nn.Module:
    return seeded(torch.nn.Linear, 3, 2)


@pytest.mark.parametrize("value", WRONG, ids=str)
def test_by_keyword(value: object) -> None:
    with pytest.raises(
        PresetError, match=r"'epsilon' .*: epsilon = .* is not a finite number of a"
    ):
        load_preset("epsilon", epsilon=value)


@pytest.mark.parametrize("value", ["-1", "inf", "nan", "true", '"1"', "[1.0]"])
def test_in_a_file(tmp_path: Path, value: str) -> None:
    file = tmp_path / "mine.toml"
    text = 'extends = "epsilon"\n\n[[rule]]\nfamily = "weighted_sum"\nuse = "epsilon"\nepsilon = '
    file.write_text(text + value)
    with pytest.raises(PresetError, match=r"mine.toml:3\) .*epsilon = .* is not a finite number"):
        load_preset(file)


def test_in_a_preset_made_by_hand() -> None:
    preset = load_preset("epsilon")
    rows = tuple(
        replace(row, parameters={**row.parameters, "epsilon": -1.0})
        if row.use == "epsilon"
        else row
        for row in preset.entries
    )
    with pytest.raises(PresetError, match=r"epsilon = -1.0 is not"):
        Engine(small(), draw(2, 3), preset=replace(preset, entries=rows))


def test_of_a_rule_of_the_users(tmp_path: Path) -> None:
    @rule("part", family=WeightedSum, cites="own", absorbs="rest")
    def part(call, c, share: Share = 0.5, power: float = -1.0):
        return tuple(share * g for g in call.vjp(c))

    file = tmp_path / "mine.toml"
    text = 'extends = "epsilon"\n[[rule]]\nfamily = "weighted_sum"\nuse = "part"\n'
    file.write_text(text + "share = 1.5")
    with pytest.raises(
        PresetError, match=r"share = 1.5 is not a finite number above 0 and of at mo"
    ):
        Engine(small(), draw(2, 3), preset=file, rules=[part])
    file.write_text(text + "power = inf")
    with pytest.raises(PresetError, match="power = inf is not a finite number"):
        Engine(small(), draw(2, 3), preset=file, rules=[part])
    file.write_text(text + "share = 1\npower = -3")
    Engine(small(), draw(2, 3), preset=file, rules=[part]).explain(draw(2, 3), 1).check()


@pytest.mark.parametrize("found, name", PARAMETERS, ids=lambda p: getattr(p, "name", p))
def test_every_parameter_takes_its_default_and_no_nonsense(found, name) -> None:
    default = found.parameters[name]
    if default is not inspect.Parameter.empty:
        assert read_parameter(found.propagate, name, default) == default
    for value in (float("nan"), float("inf"), True, "nonsense", object()):
        with pytest.raises(ValueError, match=name):
            read_parameter(found.propagate, name, value)


def test_without_the_ranges_a_negative_stabiliser_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Range, "holds", lambda self, value: True)
    load_preset("epsilon", epsilon=-1)
