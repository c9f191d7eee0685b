"""Several explanations on one page."""

from __future__ import annotations

from pathlib import Path

import pytest

import lrp_engine as lrp
from lrp_engine.errors import InputError
from lrp_engine.markup import Overview
from lrp_engine.show.page import Book, Chapter, write_book
from lrp_engine.show.page.budget import Budget
from tests.pages.samples import HARM, image, words
from tests.show.made import image_explanation


def book(chapters: int = 2) -> Book:
    """Chapters of two contents, with harmful texts everywhere."""
    table = Overview("figures" + HARM, (), ("", "left#"), [("case" + HARM, "1.5")], 0, ["n" + HARM])
    one = Chapter("c" + HARM, [image(harm=HARM), words()], ["a" + HARM], [table], ["e" + HARM])
    return Book("t" + HARM, [one] * chapters, ["about" + HARM], [("licence" + HARM, "text" + HARM)])


def test_all_is_told_and_escaped() -> None:
    page = write_book(book())
    assert page.count("<article>") == 4
    assert page.count('class="chapter"') == 2
    assert 'href="#chapter-1"' in page
    assert 'id="chapter-1"' in page
    assert "<script" not in page
    assert "http" not in page
    assert page.count("1.5") >= 2
    assert page == write_book(book())


def test_what_does_not_fit_is_said() -> None:
    page = write_book(book(30), Budget(200_000))
    assert "of 30 chapters are shown" in page
    assert len(page.encode()) < 200_000


def test_pages_of_explanations(tmp_path: Path) -> None:
    both = {"one": image_explanation(1), "two": image_explanation(2)}
    page = lrp.write_page(tmp_path / "both.html", both, title="Both of them").read_text("utf-8")
    assert "Both of them" in page
    assert page.count("<article>") == 2
    with pytest.raises(InputError, match="none"):
        lrp.write_page(tmp_path / "none.html", {})
    with pytest.raises(InputError, match=r"\.html"):
        lrp.write_page(tmp_path / "both.txt", both)
