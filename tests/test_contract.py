"""The import contract holds, and fails when a circle or an upward import is planted."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytest.importorskip("importlinter", reason="import-linter comes with the dev extra")


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    command = "import sys; from importlinter.cli import lint_imports_command as run; run()"
    return subprocess.run(
        [sys.executable, "-c", command, "--no-cache", "--config", "pyproject.toml"],
        cwd=folder,
        env={"PYTHONPATH": str(folder), "PATH": ""},
        capture_output=True,
        text=True,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The packages and the contract, without their tests."""
    ignore = shutil.ignore_patterns("__pycache__", "*.safetensors", "rules")
    for name in ("lrp_engine", "pytest_lrp"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignore)
    shutil.copytree(ROOT / "rules", tmp_path / "lrp_engine" / "rules")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def plant(file: Path, line: str) -> None:
    file.write_text(file.read_text() + f"\n{line}\n")


def test_the_contract_holds(copy: Path) -> None:
    result = lint(copy)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    "file, line, contract",
    [
        ("plan/plan.py", "from ..run import proof", "a stage knows only the stages before it"),
        ("results/store.py", "from . import explanation", "no circles inside any package"),
        ("plan/assign.py", "from ..rules import linear", "reaches rules through the registry"),
        ("run/proof.py", "import networkx", "import their heavy dependencies"),
    ],
)
def test_a_planted_import_breaks_it(copy: Path, file: str, line: str, contract: str) -> None:
    plant(copy / "lrp_engine" / file, line)
    result = lint(copy)
    assert result.returncode != 0
    broken = [row for row in result.stdout.splitlines() if row.endswith("BROKEN")]
    assert any(contract in row for row in broken), result.stdout + result.stderr
