"""Every rule and preset names its source, and the sources can be printed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

import lrp_engine as lrp
from lrp_engine.cli.app import app
from lrp_engine.errors import PresetError
from lrp_engine.method.references import find_papers, papers
from lrp_engine.method.registry import standard
from lrp_engine.preset.preset_file import load

NO_PAPER = {
    "own: by definition of the op",
    "own: the preset's choice",
    "own: Euler's theorem on homogeneous functions",
    "own: exact differences, docs/two-runs.md",
}


def test_every_rule_cites_a_paper_that_is_listed() -> None:
    unlisted = {r.cites for r in standard().rules.values() if not find_papers([r.cites])}
    assert unlisted == NO_PAPER


@pytest.mark.parametrize("name", lrp.presets())
def test_every_preset_cites_papers_that_are_listed(name: str) -> None:
    preset = load(name, standard())
    assert preset.cites
    assert set(preset.cites) <= set(papers())
    assert preset.title != name


def test_an_engine_cites_what_it_used_and_nothing_else() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).eval()
    text = lrp.Engine(model, torch.rand(1, 3), preset="gamma").cite()
    assert "@article{andeol2023," in text
    assert "Layer-Wise Relevance Propagation" in text
    assert "MambaLRP" not in text
    assert text.count("@article{bach2015,") == 1


def test_a_preset_is_shown_with_rules_parameters_and_papers() -> None:
    result = CliRunner().invoke(app, ["presets", "show", "epsilon_gamma_box"])
    assert result.exit_code == 0, result.output
    for text in ("z_box", "position", "first", "Batch norms are read", "Bach et al. (2015)"):
        assert text in result.output, text


def test_a_preset_is_shown_as_json() -> None:
    result = CliRunner().invoke(app, ["presets", "show", "cp_lrp", "--json"])
    shown = json.loads(result.output)
    rows = {row["where"]: row["rule"] for row in shown["rules"]}
    assert rows["softmax"] == "stopped"
    assert rows["weighted_sum"] == "zero"
    assert "@inproceedings{ali2022," in shown["bibtex"]


def test_presets_are_listed() -> None:
    result = CliRunner().invoke(app, ["presets", "--json"])
    assert [row["name"] for row in json.loads(result.output)] == list(lrp.presets())


def test_a_preset_that_cites_an_unknown_paper_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    for cites, refused in [("bach2015 own", False), ("bach2051", True)]:
        path.write_text(f'extends = "attnlrp"\ncites = "{cites}"\n')
        if refused:
            with pytest.raises(PresetError, match=r"bach2051.*did you mean 'bach2015'"):
                lrp.load_preset(path)
        else:
            assert "bach2015" in lrp.load_preset(path).cites
