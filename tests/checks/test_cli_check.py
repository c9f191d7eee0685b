"""`lrp check` with a file of checks, with images, with a generator, and with golden results."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from lrp_engine.cli.app import app

MODELS = """
import torch
from torch import nn
from lrp_engine.checks import Given

def dense():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)), torch.ones(2, 4)

def image():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 3))

def batches():
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        yield Given(torch.randn(4, 4, generator=generator), [0, 1, 2, 0])

def signed():
    class Signed(nn.Module):
        def forward(self, x, trend):
            return x + 2 * trend.sign()
    return Signed(), (torch.ones(2, 3), torch.ones(2, 3))

def uncovered():
    class Uncovered(nn.Module):
        def forward(self, x):
            return torch.special.i1e(x)
    return Uncovered(), torch.ones(2, 3)
"""

CHECKS = """
[budget]
amplification = 100
absorbed.bias = 50

[[check]]
name = "dense"
model = "checked_models:dense"
inputs = "checked_models:batches"
presets = ["attnlrp", "mine.toml"]
batch = 3
golden = "golden/dense"

[[check]]
name = "pictures"
model = "checked_models:image"
inputs = "pictures"
images = { size = 8, mean = [0.5], std = [0.5, 0.5, 0.5] }
target = { 1 = 1.0, 2 = -1.0 }
budget.absorbed.bias = 100
"""

MINE = 'title = "mine"\nextends = "epsilon"\n'

Run = Callable[..., Result]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "checked_models.py").write_text(MODELS)
    (tmp_path / "lrp.toml").write_text(CHECKS)
    (tmp_path / "mine.toml").write_text(MINE)
    (tmp_path / "pictures").mkdir()
    random = np.random.default_rng(0)
    for i, shape in enumerate([(8, 8), (10, 12), (8, 8)]):
        pixels = random.integers(0, 255, (*shape, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "pictures" / f"{i}.png")
    return tmp_path


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "checked_models", raising=False)
    return lambda *arguments: CliRunner().invoke(app, ["check", *map(str, arguments)])


def cases(result: Result) -> dict[str, dict[str, dict[str, object]]]:
    """name -> check -> finding."""
    data = json.loads(result.stdout)
    return {c["name"]: {f["check"]: f for f in c["findings"]} for c in data["cases"]}


def _write_golden_results(run: Run) -> None:
    result = run("--only", "dense[mine]", "--only", "dense[attnlrp]", "--update")
    assert result.exit_code == 0, result.output


def test_all_of_a_file(run: Run) -> None:
    _write_golden_results(run)
    result = run("--json")
    assert result.exit_code == 0, result.output
    found = cases(result)
    assert set(found) == {"dense[attnlrp]", "dense[mine]", "pictures"}
    assert all(f["amplification"]["limit"] == 100 for f in found.values())
    samples = {c["name"]: c["samples"] for c in json.loads(result.stdout)["cases"]}
    assert samples == {"dense[attnlrp]": 12, "dense[mine]": 12, "pictures": 3}


def test_golden_results_are_written_compared_and_updated(run: Run, folder: Path) -> None:
    _write_golden_results(run)
    names = {path.name for path in (folder / "golden").iterdir()}
    assert "dense-mine.json" in names
    assert len(names) == 2
    assert run("--only", "dense[mine]").exit_code == 0
    (folder / "mine.toml").write_text(MINE.replace("epsilon", "gradient"))
    changed = run("--only", "dense[mine]", "--json")
    assert changed.exit_code == 1
    assert cases(changed)["dense[mine]"]["plan drift"]["status"] == "failed"
    assert run("--only", "dense[mine]", "--update").exit_code == 0
    assert run("--only", "dense[mine]").exit_code == 0


def test_update_without_a_golden_result_to_write(run: Run) -> None:
    result = run("checked_models:dense", "--target", 1, "--update")
    assert result.exit_code == 1
    assert "names a golden result" in result.stdout


def test_reports_are_written_beside_the_output(run: Run, folder: Path) -> None:
    result = run(
        *("checked_models:uncovered", "--target", 0),
        *("--report", "junit=out/report.xml", "--report", "markdown=out/summary.md"),
        *("--report", "github=-", "--format", "json"),
    )
    assert result.exit_code == 1
    assert "::error file=checked_models.py,line=" in result.stdout
    assert "<failure" in (folder / "out" / "report.xml").read_text()
    assert "**FAILED**" in (folder / "out" / "summary.md").read_text()


def test_budget_of_a_file_for_a_named_model(run: Run, folder: Path) -> None:
    (folder / "budget.toml").write_text("[budget]\nabsorbed.total = 1e-9\n")
    sound = run("checked_models:dense", "--target", 1)
    tight = run("checked_models:dense", "--target", 1, "--config", "budget.toml")
    assert (sound.exit_code, tight.exit_code) == (0, 1)
    assert "absorbed: all causes together took" in tight.stdout


def test_images_of_one_size_need_no_options(run: Run) -> None:
    one = run("checked_models:image", "--inputs", "pictures/0.png", "--target", 0)
    assert one.exit_code == 0, one.output
    several = run("checked_models:image", "--inputs", "pictures", "--target", 0)
    assert several.exit_code == 1
    assert "set images.size" in several.stderr


@pytest.mark.parametrize(
    "change, words",
    [
        (("[budget]", "[budgets]"), "did you mean 'budget'"),
        (("amplification", "amplificaton"), "did you mean 'amplification'"),
        (("model =", "modle ="), "did you mean 'model'"),
        (('name = "pictures"', 'name = "dense[mine]"'), "two checks are called"),
        (("size = 8", "size = [8, 8, 8]"), "images: size is one number"),
        (("1 = 1.0", "1 = 'much'"), "names no class"),
        (("absorbed.bias = 50", 'absorbed.bias = "much"'), "a number of at least 0"),
        (('"pictures"\nimages', '"nowhere"\nimages'), "there are no inputs"),
        (("golden/dense", "golden/none"), "there is no golden result"),
        (("[[check]]", "[[check]"), "is not valid TOML"),
    ],
)
def test_mistakes_in_a_file(run: Run, folder: Path, change: tuple[str, str], words: str) -> None:
    if words == "there are no inputs":  # of the second check: the first has to pass
        _write_golden_results(run)
    (folder / "lrp.toml").write_text(CHECKS.replace(*change))
    result = run()
    assert result.exit_code == 1
    assert words in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    "arguments",
    [
        ["--only", "nothing"],
        ["--format", "pdf"],
        ["--report", "junit"],
        ["--report", "pdf=x.pdf"],
    ],
)
def test_wrong_usage(run: Run, arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 2


def test_neither_model_nor_file(run: Run, folder: Path) -> None:
    (folder / "lrp.toml").unlink()
    assert run().exit_code == 2


def test_inputs_that_are_explained_nowhere_can_be_allowed(run: Run) -> None:
    refused = run("checked_models:signed", "--target", 0, "--json")
    assert refused.exit_code == 1
    (found,) = cases(refused).values()
    assert found["inputs"]["status"] == "failed"
    assert run("checked_models:signed", "--target", 0, "--unreached", 1).exit_code == 0
