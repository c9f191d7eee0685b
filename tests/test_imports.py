"""Importing the package and asking the command line for help load only what they need."""

from __future__ import annotations

import subprocess
import sys

import pytest

from lrp_engine.checks.reports import FORMATS
from lrp_engine.circuits import ESTIMATORS
from lrp_engine.cli import choices

HEAVY = ("torch", "numpy", "onnx", "google.protobuf", "networkx", "scipy", "matplotlib")
ONLY_ELSEWHERE = (
    "onnx",
    "google.protobuf",
    "ml_dtypes",
    "scipy",
    "networkx",
    "matplotlib",
    "typer",
    "rich",
    "torch._dynamo",
    "torch._inductor",
)

COMMAND = """
import sys
from lrp_engine.cli import main
sys.argv = ["lrp", *sys.argv[1:]]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print("loaded:", *sys.modules)
"""
LIBRARY = """
import sys
import lrp_engine
assert "torch" not in sys.modules
lrp_engine.Engine
print("loaded:", *sys.modules)
"""


def loaded_by(code: str, *arguments: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after running some code."""
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].removeprefix("loaded: ").split())


@pytest.mark.parametrize(
    "arguments",
    [("--help",), ("--version",), ("presets",), ("presets", "--json"), ("check", "--help")],
    ids=" ".join,
)
def test_help_and_lists_do_not_load_the_engine(arguments: tuple[str, ...]) -> None:
    loaded = loaded_by(COMMAND, *arguments)
    assert "lrp_engine.cli.app" in loaded
    assert loaded.isdisjoint(HEAVY)


def test_the_engine_loads_torch_and_no_dependency_of_other_parts() -> None:
    loaded = loaded_by(LIBRARY)
    assert "torch" in loaded
    assert loaded.isdisjoint(ONLY_ELSEWHERE)


def test_names_in_help_texts_are_those_of_the_tables() -> None:
    assert set(choices.REPORT_FORMATS) == set(FORMATS)
    assert tuple(ESTIMATORS) == choices.ESTIMATORS
