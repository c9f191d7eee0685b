"""What the README shows is true: its Python runs, its commands exist, its picture is small."""

import re
import shlex
from pathlib import Path

import pytest
import typer

import lrp_engine as lrp
from lrp_engine.checks.config import read_cases
from lrp_engine.cli.app import app

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    """The fenced blocks of one language, in order. Every `python` block must run."""
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)


def table(holding: str) -> str:
    """The one TOML block with that heading."""
    (found,) = [block for block in blocks("toml") if holding in block]
    return found


def commands() -> list[list[str]]:
    """The words of every `lrp ...` line in the shell blocks."""
    lines = [line.rpartition("&& ")[2] for block in blocks("sh") for line in block.splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith("lrp ")]


def test_python_blocks_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sklearn")
    pytest.importorskip("transformers")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text(table("[[rule]]"))
    names: dict[str, object] = {}
    for number, block in enumerate(blocks("python")):
        exec(compile(block, f"README.md, python block {number}", "exec"), names)
    explanation = names["explanation"]
    assert isinstance(explanation, lrp.Explanation)
    assert explanation.ledger.absorbed["stabiliser"] > 1
    assert "doctor" in str(names["page"])


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_commands_exist(words: list[str]) -> None:
    found = typer.main.get_command(app).commands[words[0]]  # type: ignore[attr-defined]
    known = {name for parameter in found.params for name in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known


def test_file_of_checks_is_read(tmp_path: Path) -> None:
    (tmp_path / "lrp.toml").write_text(table("[[check]]"))
    assert [case.name for case in read_cases(tmp_path / "lrp.toml")] == [
        "digits[epsilon]",
        "digits[attnlrp]",
    ]


def test_named_presets_exist() -> None:
    section = TEXT[TEXT.index("## Presets") : TEXT.index("Your own is a small TOML file")]
    rows = "".join(line for line in section.splitlines() if line.startswith("|"))
    assert set(re.findall(r"`(\w+)`", rows)) == set(lrp.presets())


def test_linked_files_exist_and_are_small() -> None:
    links = re.findall(r'\]\((?!https?:)([^)]+)\)|src="([^"]+)"', TEXT)
    for link in (a or b for a, b in links):
        assert (ROOT / link).stat().st_size < 200_000
