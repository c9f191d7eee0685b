"""The demo's exhibits: explanations that close, deletions that beat chance, page and picture."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lrp_engine.demo.exhibit import DATA, MODELS
from lrp_engine.demo.exhibits import EXHIBITS
from lrp_engine.demo.exhibits.file_types import FILE_TYPES
from lrp_engine.demo.page import draw_demo, table_of_falls, write_demo_page
from lrp_engine.demo.run_exhibit import Shown, run_exhibit
from lrp_engine.demo.sounds import pluck_in_turn

pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    """The exhibit of bytes, of one file with a harmful name."""
    file = tmp_path_factory.mktemp("files") / "<b>q.sql"
    file.write_bytes((DATA / "query.txt").read_bytes())
    return run_exhibit(FILE_TYPES, [file])


def test_keywords_say_what_it_is(shown: Shown) -> None:
    (finding,) = shown.findings
    explanation = finding.explanation
    assert 'why "sql"?' in repr(explanation)
    pieces = explanation.labels.of("bytes").words[0]
    amounts = explanation.relevance["bytes"][0].tolist()
    keyword = sum(r for piece, r in zip(pieces, amounts, strict=True) if piece.word == 0)
    assert "".join(p.text for p in pieces if p.word == 0) == "SELECT"
    assert keyword > 0.2 * float(explanation.explained)
    total = sum(amounts) + sum(explanation.ledger.absorbed.values())
    assert total == pytest.approx(float(explanation.explained), rel=1e-4)


def test_deletion_beats_chance(shown: Shown) -> None:
    for fall in shown.findings[0].falls:
        own = fall.after[FILE_TYPES.preset]
        assert own < fall.after["random"] < fall.before
    table = table_of_falls(shown)
    assert all(" *" in "".join(row) for row in table.rows)


def test_page_and_picture(shown: Shown, tmp_path: Path) -> None:
    page = write_demo_page(tmp_path / "demo.html", [shown], None).read_text("utf-8")
    assert "Apache License" in page
    assert "Google LLC" in page
    assert "SELECT" in page
    assert "<b>q" not in page
    assert "<script" not in page
    assert 'src="http' not in page
    picture = draw_demo(tmp_path / "demo.png", [shown])
    assert picture.stat().st_size > 10_000


def test_every_model_has_its_licence() -> None:
    for folder in MODELS.iterdir():
        assert (folder / "LICENSE").is_file()
    credits = (DATA / "CREDITS.txt").read_text("utf-8")
    assert all(file.name in credits or file.suffix == ".txt" for file in DATA.iterdir())


def test_strings_sound_in_turn_and_together() -> None:
    sound = torch.from_numpy(pluck_in_turn([220.0, 330.0], 22050, 22050))
    assert float(sound[:1000].abs().max()) == 0
    assert float(sound[-3000:].abs().max()) > 0.1
    assert len(sound) == 22050


@pytest.mark.slow
@pytest.mark.parametrize("exhibit", EXHIBITS, ids=lambda exhibit: exhibit.name)
def test_every_exhibit(exhibit: object) -> None:
    """Relevance beats chance at the larger share at least."""
    found = next(e for e in EXHIBITS if e is exhibit)
    if found.missing():
        pytest.skip(found.missing())
    for finding in run_exhibit(found).findings:
        last = finding.falls[-1]
        assert last.after[found.preset] < last.after["random"]
