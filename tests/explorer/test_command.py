"""`lrp view` on the command line."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from lrp_engine.cli.app import app

from .small import text_exploration

RUN = CliRunner()


def test_a_saved_explanation_becomes_a_page(tmp_path: Path) -> None:
    saved = text_exploration().explained[0].explanation.save(tmp_path / "e.safetensors")
    page = tmp_path / "folder" / "page.html"
    done = RUN.invoke(app, ["view", str(saved), "--html", str(page)])
    assert done.exit_code == 0, done.output
    assert 'id="scene"' in page.read_text()


def test_wrong_usage_is_said(tmp_path: Path) -> None:
    for words in (["view"], ["view", "model", "--demo"], ["view", "a:b", "--target", "x"]):
        assert RUN.invoke(app, words).exit_code == 2
