"""What the user's own code raises is one line that names the place; --json stays JSON."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from typer.testing import CliRunner, Result

import lrp_engine as lrp
from lrp_engine.cli.app import app
from lrp_engine.errors import InternalError, UserCodeError

MODELS = """
import sys
from torch import nn

def raises():
    print("noise on stdout")
    return {}["weights"]  # line 7

def leaves():
    sys.exit(0)

def good():
    print("noise on stdout")
    return nn.Linear(2, 3), __import__("torch").ones(1, 2)

def batches():
    yield __import__("torch").ones(1, 2)
    raise ValueError("no more data")  # line 18
"""

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `lrp` in a folder with modules that fail."""
    (tmp_path / "failing.py").write_text(MODELS)
    (tmp_path / "broken.py").write_text("def f(:\n")
    (tmp_path / "lacking.py").write_text("import no_such_thing_at_all\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("failing", "broken", "lacking"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return lambda *arguments: CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.mark.parametrize(
    "model, words",
    [
        ("failing:raises", ["KeyError: 'weights'", "failing.py:7"]),
        ("failing:leaves", ["SystemExit", "failing.py:10"]),
        ("broken:f", ["SyntaxError", "broken.py:1"]),
        ("lacking:f", ["no_such_thing_at_all", "lacking.py:1"]),
    ],
)
def test_a_failing_factory_is_one_line_and_json(run: Run, model: str, words: list[str]) -> None:
    for command in ("explain", "check", "coverage", "plan"):
        result = run(command, model, "--json")
        assert result.exit_code == 1
        error = json.loads(result.stdout)["error"]
        assert error["type"] == "UserCodeError"
        assert all(word in error["message"] for word in words)
        assert "\n" not in error["message"]
        assert "Traceback" not in result.stderr
    assert "Traceback" in run("coverage", model, "--debug").stderr


def test_what_the_users_code_prints_is_not_mixed_into_json(run: Run) -> None:
    result = run("coverage", "failing:good", "--json")
    assert json.loads(result.stdout)["ok"]
    assert "noise on stdout" in result.stderr


def test_an_iterator_of_batches_that_fails(run: Run) -> None:
    result = run("check", "failing:good", "--inputs", "failing:batches", "--target", 0, "--json")
    error = json.loads(result.stdout)["error"]
    assert "no more data" in error["message"]
    assert "failing.py:18" in error["message"]


@pytest.mark.parametrize(
    "arguments",
    [("explain", "--json"), ("plan", "--nonsense", "--json"), ("explain", "nowhere:f", "--json")],
)
def test_wrong_usage_is_json_too(run: Run, arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert json.loads(result.stdout)["error"]["type"] == "UsageError"


def test_a_fault_of_our_own_is_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from lrp_engine.engine import Engine

    monkeypatch.setattr(Engine, "coverage", eval("lambda self: len(None)"))
    result = run("coverage", "failing:good", "--json")
    kind = json.loads(result.stdout)["error"]["type"]
    assert kind in (InternalError.__name__, UserCodeError.__name__)
    assert result.exit_code == 1


def test_a_metric_that_raises_names_its_line() -> None:
    def metric(logits: torch.Tensor) -> torch.Tensor:
        raise ValueError("out of ideas")

    engine = lrp.Engine(nn.Linear(4, 3).eval(), torch.ones(2, 4))
    with pytest.raises(
        UserCodeError, match=r"the metric failed: ValueError: out of ideas.*\.py:"
    ) as e:
        engine.explain(torch.ones(2, 4), metric)
    assert isinstance(e.value.__cause__, ValueError)
