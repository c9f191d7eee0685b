"""The command line: what is printed, what is written, and every exit code."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner, Result

import lrp_engine as lrp
from lrp_engine.checks import CHECKS
from lrp_engine.cli import console
from lrp_engine.cli.app import app

MODELS = """
import torch
from torch import nn

class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 3), nn.Linear(2, 3)

    def forward(self, x, y):
        return torch.relu(self.a(x)) + self.b(y)

class KeywordOnly(Two):
    def forward(self, x, *, y):
        return super().forward(x, y)

class Branching(nn.Module):
    def forward(self, x):
        return 2 * x if x.sum() > 0 else -x

def branching():
    return Branching(), torch.ones(2, 3)

class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Embedding(7, 4), nn.Linear(4, 7)

    def forward(self, ids):
        return self.head(self.embed(ids))

class Uncovered(nn.Module):
    def forward(self, x):
        return torch.special.i1e(torch.special.i1e(x))

def two():
    torch.manual_seed(0)
    return Two()

def with_example():
    torch.manual_seed(0)
    return two(), (torch.ones(2, 4), torch.ones(2, 2))

def image():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 3))

instance = image()

def tokens():
    torch.manual_seed(0)
    return Tokens(), torch.tensor([[1, 2, 3], [4, 5, 6]])

def uncovered():
    return Uncovered(), torch.rand(2, 3)

def not_a_model():
    return 3
"""

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `lrp` in a folder where `cli_models.py` lies."""
    (tmp_path / "cli_models.py").write_text(MODELS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "cli_models", raising=False)
    return lambda *arguments: CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    """Arguments of Two by name, not in order."""
    file = tmp_path / "inputs.npz"
    np.savez(file, y=np.ones((2, 2), "f4"), x=np.ones((2, 4), "f4"))
    return file


def the_case(result: Result) -> Any:
    """The one case of a report in JSON."""
    (case,) = json.loads(result.stdout)["cases"]
    return case


def expected(target: object) -> lrp.Explanation:
    """What the library says about Two."""
    from cli_models import two  # type: ignore[import-not-found]

    given = (torch.ones(2, 4), torch.ones(2, 2))
    return lrp.explain(two().eval(), given, target)


def test_explain_gives_the_librarys_numbers(run: Run, inputs: Path) -> None:
    result = run("explain", "cli_models:two", "--inputs", inputs, "--target", 1, "--json")
    assert result.exit_code == 0, result.output
    data = json.loads(result.stdout)
    reference = expected(1)
    assert data["explained"] == reference.explained.tolist()
    for name, relevance in reference.relevance.items():
        total = relevance.double().sum(1).tolist()
        assert data["relevance"][name]["sum_per_sample"] == pytest.approx(total)


def test_keyword_only_arguments(run: Run, inputs: Path) -> None:
    result = run("check", "cli_models:KeywordOnly", "--inputs", inputs, "--target", 1)
    assert result.exit_code == 0, result.output


def test_notes_on_the_capture_are_shown(run: Run) -> None:
    result = run("coverage", "cli_models:branching", "--json")
    assert json.loads(result.stdout)["ok"]
    assert "recorded: one call's control flow" in result.stderr


def test_explain_prints_tables_and_writes_files(run: Run, tmp_path: Path) -> None:
    np.savez(tmp_path / "pixels.npz", np.random.default_rng(0).uniform(size=(2, 1, 8, 8)))
    files = [tmp_path / "new" / name for name in ("ex.safetensors", "ex.png", "ex.html")]
    options = zip(("--save", "--plot", "--html"), files, strict=True)
    arguments = [part for option in options for part in option]
    result = run(
        "explain", "cli_models:instance", "--inputs", "pixels.npz", "--target", "0,2", *arguments
    )
    assert result.exit_code == 0, result.output
    assert "absorbed: bias" in result.stdout
    assert "coverage: 4 of 4" in result.stdout
    assert "float64" in result.stderr
    assert lrp.Explanation.load(files[0]).relevance["input"].shape == (2, 1, 8, 8)
    assert files[1].read_bytes().startswith(b"\x89PNG")
    assert files[2].read_text().startswith("<!doctype html>")


def test_contrast_at_a_position(run: Run) -> None:
    arguments = ("explain", "cli_models:tokens", "--json", "--position", -1)
    result = run(*arguments, "--target-json", '{"3": 1, "5": -1}')
    single = [json.loads(run(*arguments, "--target", k).stdout)["explained"] for k in (3, 5)]
    difference = np.subtract(*single)
    assert json.loads(result.stdout)["explained"] == pytest.approx(difference.tolist(), abs=1e-6)


@pytest.mark.parametrize("ending", ["npz", "safetensors", "pt"])
@pytest.mark.parametrize("names", [("x", "y"), ("arg0", "arg1")])
def test_inputs_of_every_kind(run: Run, tmp_path: Path, ending: str, names: list[str]) -> None:
    arrays = dict(zip(names, (torch.ones(2, 4), torch.ones(2, 2)), strict=True))
    file = tmp_path / f"given.{ending}"
    if ending == "npz":
        np.savez(file, **{k: v.numpy() for k, v in arrays.items()})
    else:
        (save_file if ending == "safetensors" else torch.save)(arrays, file)
    result = run("check", "cli_models:two", "--inputs", file, "--target", 0, "--json")
    assert the_case(result)["ledger"]["explained"] == pytest.approx(
        float(expected(0).explained.sum())
    )


def test_exported_program_with_its_own_and_with_other_inputs(run: Run, inputs: Path) -> None:
    sys.path.insert(0, str(inputs.parent))
    from cli_models import with_example  # type: ignore[import-not-found]

    model, example = with_example()
    torch.export.save(torch.export.export(model.eval(), example), "model.pt2")
    own = run("check", "model.pt2", "--target", 0, "--json")
    given = run("check", "model.pt2", "--target", 0, "--inputs", inputs, "--json")
    assert own.exit_code == given.exit_code == 0, own.output + given.output
    assert the_case(own)["ledger"] == the_case(given)["ledger"]


def test_check_says_ok(run: Run) -> None:
    result = run("check", "cli_models:with_example", "--target", 0)
    assert result.exit_code == 0, result.output
    passed = len(CHECKS) - len({"plan drift", "drift"})  # these need a golden result
    assert f"ok: {passed} checks of 1 model(s) passed" in result.stdout


def test_check_names_the_op_that_is_out_of_tolerance(run: Run) -> None:
    np.savez("pixels.npz", np.random.default_rng(0).uniform(size=(2, 1, 8, 8)).astype("f4"))
    arguments = ("check", "cli_models:image", "--inputs", "pixels.npz", "--target", 0)
    result = run(*arguments, "--tolerance", 0, "--json")
    assert result.exit_code == 1
    assert not json.loads(result.stdout)["ok"]
    found = {f["check"]: f for f in the_case(result)["findings"]}
    assert found["residual"]["status"] == "failed"
    assert found["residual"]["place"]["node"] in ("linear", "conv2d")


def test_coverage_as_json_and_markdown(run: Run) -> None:
    data = json.loads(run("coverage", "cli_models:with_example", "--json", "--plan").stdout)
    assert data["covered"] == data["live"] == len(data["plan"])
    assert {row["op"] for row in data["rules"]} >= {"aten.linear.default", "aten.relu.default"}
    markdown = run("coverage", "cli_models:with_example", "--markdown", "--plan").stdout
    assert "| aten.linear.default | weighted_sum | zero | 2 |" in markdown


def test_coverage_lists_every_gap(run: Run) -> None:
    result = run("coverage", "cli_models:uncovered", "--json")
    assert result.exit_code == 1
    error = json.loads(result.stdout)["error"]
    assert error["type"] == "CoverageError"
    assert len(error["uncovered"]) == 2
    assert "nothing was computed" in result.stderr


def test_package_says_what_it_cannot_write(run: Run, tmp_path: Path) -> None:
    refused = run("package", "cli_models:with_example", "--save", "explain.zip")
    assert refused.exit_code == 1
    assert ".pt2" in refused.output
    assert not list(tmp_path.glob("explain*"))


def test_plan_foretells_memory_per_policy_and_draws_it(run: Run, tmp_path: Path) -> None:
    result = run("plan", "cli_models:image", "--inputs", _pictures(tmp_path), "--plot", "m.png")
    assert result.exit_code == 0, result.stderr
    assert all(name in result.stdout for name in ("keep", "balanced", "low_memory", "m.png"))
    assert (tmp_path / "m.png").read_bytes().startswith(b"\x89PNG")
    data = json.loads(run("plan", "cli_models:with_example", "--policy", "1MB", "--json").stdout)
    (only,) = data["policies"]
    assert 0 < only["peak_bytes"] <= 1_000_000
    assert sum(only["fates"].values()) == only["promises"]
    table = run("plan", "cli_models:with_example", "--promises", "--policy", "keep").stdout
    assert "how it is honoured" in table
    refused = run("plan", "cli_models:with_example", "--policy", "1B")
    assert refused.exit_code == 1
    assert "the smallest that would do" in " ".join(refused.stderr.split())


def test_plan_of_a_class_at_one_position(run: Run) -> None:
    """The row's programs keep and compute less than those that give the whole output."""
    whole, row = (
        json.loads(run("plan", "cli_models:tokens", "--policy", "keep", "--json", *more).stdout)
        for more in ((), ("--row",))
    )
    assert 0 < row["policies"][0]["peak_bytes"] < whole["policies"][0]["peak_bytes"]
    refused = run("plan", "cli_models:with_example", "--row")
    assert refused.exit_code == 1
    assert "computing one position requires the others" in " ".join(refused.stderr.split())


def _pictures(folder: Path) -> Path:
    file = folder / "pictures.npz"
    np.savez(file, input=np.ones((2, 1, 8, 8), "f4"))
    return file


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["check", "cli_models:with_example"], "TargetError: no target"),
        (["check", "cli_models:with_example", "--target", "9"], "out of range"),
        (["check", "cli_models:with_example", "--target", "cat"], "classes have none"),
        (["coverage", "cli_models:not_a_model"], "gives a int"),
        (["coverage", "cli_models:with_example", "--preset", "epsilom"], "did you mean 'epsilon'"),
        (["coverage", "cli_models:with_example", "--source", "nowhere"], "no input, module path"),
        (["coverage", "cli_models:with_example", "--output-name", "z"], "no floating-point output"),
        (["coverage", "cli_models:two", "--inputs", "cli_models.py"], "inputs are read from"),
        (["coverage", "cli_models:two", "--inputs", "broken.npz"], "cannot be read"),
        (["coverage", "cli_models:two", "--inputs", "names.npz"], "arguments are x, y"),
        (["coverage", "broken.pt2"], "cannot be read as an exported program"),
        (["explain", "cli_models:with_example", "--target", "0", "--save", "."], "name it so"),
        (["explain", "cli_models:with_example", "--target", "0", "--plot", "x.y"], "name it so"),
    ],
)
def test_problems_exit_with_1(run: Run, arguments: list[str], words: str) -> None:
    Path("broken.npz").write_text("no archive")
    Path("broken.pt2").write_text("no archive")
    np.savez("names.npz", a=np.ones(2), b=np.ones(2))
    result = run(*arguments)
    assert result.exit_code == 1, result.output
    assert words in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    "arguments",
    [
        ["coverage"],
        ["coverage", "neither"],
        ["coverage", "no_such_module:model"],
        ["coverage", "cli_models:nothing"],
        ["coverage", "no_such_file.pt2"],
        ["coverage", "cli_models:two"],
        ["coverage", "cli_models:two", "--inputs", "no_such_file.npz"],
        ["coverage", "cli_models:with_example", "--json", "--markdown"],
        ["check", "cli_models:with_example", "--target-json", "[1]"],
        ["check", "cli_models:with_example", "--target", "1", "--target-json", "{}"],
    ],
)
def test_wrong_usage_exits_with_2(run: Run, arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 2


def test_presets_and_version(run: Run) -> None:
    listed = json.loads(run("presets", "--json").stdout)
    assert [p["name"] for p in listed] == list(lrp.presets())
    assert "attnlrp" in run("presets").stdout
    assert run("--version").stdout.startswith("lrp-engine ")


def test_numbers_that_are_not_finite_are_valid_json(capsys: pytest.CaptureFixture[str]) -> None:
    console.print_json({"a": [float("nan"), (float("inf"), 1.5)]})
    assert json.loads(capsys.readouterr().out) == {"a": [None, [None, 1.5]]}


def test_demo(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    result = run("demo", "--only", "digits", "--output", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "592 of 599" in result.stdout
    assert "arrived at images" in result.stdout
    assert "coverage: " in result.stdout
    picture = tmp_path / "out" / "digits.png"
    assert str(picture) in result.stdout
    assert 50_000 < picture.stat().st_size < 200_000
    page = (tmp_path / "out" / "demo.html").read_text("utf-8")
    assert "the truth" in page
    assert "<script" not in page


def test_demo_names_its_parts(run: Run) -> None:
    result = run("demo", "--only", "note")
    assert result.exit_code == 1
    assert "did you mean" in result.stderr


def test_demo_without_its_extra(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    result = run("demo")
    assert result.exit_code == 1
    assert "pip install scikit-learn matplotlib" in result.stderr
