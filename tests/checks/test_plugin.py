"""The pytest plugin, run by pytest's own tester."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from lrp_engine.checks import CHECKS
from lrp_engine.checks.config import CheckCase
from lrp_engine.cli.check_cases import run_case

pytest_plugins = ("pytester",)

MODELS = """
import torch
from torch import nn

def dense():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)), torch.ones(2, 4)

def uncovered():
    class Uncovered(nn.Module):
        def forward(self, x):
            return torch.special.i1e(x)
    return Uncovered(), torch.ones(2, 3)
"""

Run = Callable[..., pytest.RunResult]

ALL = len(CHECKS)
ALONE = ALL - 2  # without a golden result there is nothing that could have drifted


@pytest.fixture(scope="module", autouse=True)
def _everything_is_loaded() -> None:
    """pytester takes back what a run has imported: what is loaded before stays loaded."""
    run_case(CheckCase("warm", f"{__name__}:warm", target=0))


def warm() -> tuple[nn.Module, torch.Tensor]:
    return nn.Sequential(nn.Linear(4, 2), nn.ReLU()), torch.ones(2, 4)


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs pytest in an empty folder with a module of models, without any other plugin."""
    pytester.makepyfile(plugged_models=MODELS)
    monkeypatch.syspath_prepend(pytester.path)
    monkeypatch.delitem(sys.modules, "plugged_models", raising=False)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    plugin = ("-p", "pytest_lrp.plugin", "-p", "no:cacheprovider")
    return lambda *arguments: pytester.runpytest_inprocess(*plugin, *map(str, arguments))


def test_loading_the_plugin_does_not_load_torch() -> None:
    code = "import sys, pytest_lrp.plugin; assert 'torch' not in sys.modules"
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)


def test_contract_checks_without_a_test_file(run: Run) -> None:
    result = run("--lrp-model=plugged_models:dense", "--lrp-target=1", "-v")
    result.assert_outcomes(passed=ALONE, skipped=2)
    result.stdout.fnmatch_lines(["*lrp::plugged_models:dense?attnlrp?: residual PASSED*"])


def test_presets_and_selection(run: Run) -> None:
    options = ("--lrp-model=plugged_models:dense", "--lrp-target=1")
    presets = ("--lrp-preset=epsilon", "--lrp-preset=attnlrp")
    run(*options, *presets, "-k", "residual").assert_outcomes(passed=2, deselected=2 * (ALL - 1))
    run(*options, "-m", "not lrp").assert_outcomes(deselected=ALL)


def test_failures_are_readable(run: Run) -> None:
    result = run("--lrp-model=plugged_models:uncovered")
    result.assert_outcomes(failed=1, skipped=ALL - 1)
    result.stdout.fnmatch_lines(
        [
            "coverage: * live op(s) without a rule*",
            "*first op:*plugged_models.py:*",
            "*what to do:*",
        ]
    )
    assert "Traceback" not in result.stdout.str()
    assert "runtest" not in result.stdout.str()


@pytest.mark.parametrize(
    "options, words",
    [
        (("--lrp-model=plugged_models:none",), "has no 'none'"),
        (("--lrp-model=plugged_models:dense", "--lrp-target=9"), "out of range"),
    ],
)
def test_what_cannot_be_run_fails_every_check(run: Run, options: list[str], words: str) -> None:
    result = run(*options)
    result.assert_outcomes(failed=ALL)
    result.stdout.fnmatch_lines([f"*{words}*"])


def test_a_file_of_checks_that_cannot_be_read(run: Run, pytester: pytest.Pytester) -> None:
    pytester.path.joinpath("lrp.toml").write_text("[[check]]\nmodle = 'x'\n")
    result = run("--lrp-config=lrp.toml")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*did you mean 'model'*"])


CHECKS = """
[budget]
absorbed.total = 100
[[check]]
name = "dense"
model = "plugged_models:dense"
target = 1
golden = "golden/dense"
"""


def test_golden_results_of_a_file(run: Run, pytester: pytest.Pytester) -> None:
    pytester.path.joinpath("lrp.toml").write_text(CHECKS)
    run("--lrp-config=lrp.toml", "--lrp-update").assert_outcomes(passed=1)
    assert pytester.path.joinpath("golden/dense.json").exists()
    run("--lrp-config=lrp.toml").assert_outcomes(passed=ALL)
    pytester.makeini("[pytest]\nlrp_config = lrp.toml\n")
    pytester.makepyfile(test_own="def test_own(): pass")
    run().assert_outcomes(passed=ALL + 1)
    run("test_own.py").assert_outcomes(passed=1)


TESTS = """
import pytest
from plugged_models import dense

@pytest.mark.lrp_presets("epsilon", "attnlrp")
def test_presets(lrp_preset, assert_covered, assert_conserved, assert_same_explanation):
    model, inputs = dense()
    engine = assert_covered(model.eval(), inputs, preset=lrp_preset)
    explanation = engine.explain(inputs, 1)
    assert_conserved(explanation)
    assert_same_explanation(explanation)

def test_conserved(assert_covered, assert_conserved):
    model, inputs = dense()
    assert_conserved(assert_covered(model.eval(), inputs).explain(inputs, 1), 0.0)

def test_default(lrp_preset):
    assert lrp_preset == "attnlrp"
"""


def test_fixtures(run: Run, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_own=TESTS)
    result = run()
    result.assert_outcomes(passed=1, failed=3)
    result.stdout.fnmatch_lines(["*there is no saved explanation*", "*not conserved:*"])
    run("--lrp-update").assert_outcomes(passed=3, failed=1)
    golden = {path.name for path in pytester.path.joinpath("golden").iterdir()}
    assert golden == {
        "test_presets-epsilon.safetensors",
        "test_presets-attnlrp.safetensors",
    }
    run().assert_outcomes(passed=3, failed=1)


def test_under_xdist(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers agree on the items, and each makes do with its own reports."""
    pytester.makepyfile(plugged_models=MODELS)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    plugins = ("-p", "xdist", "-p", "pytest_lrp.plugin", "-p", "no:cacheprovider")
    arguments = ("--lrp-model=plugged_models:dense", "--lrp-target=1", "-n2", "--dist=loadgroup")
    result = pytester.runpytest_subprocess(*plugins, *arguments)
    result.assert_outcomes(passed=ALONE, skipped=2)
