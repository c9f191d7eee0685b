"""Write several explanations as one page: a chapter per subject, with tables and texts of its own.

Like a page of one explanation, it has no script, fetches nothing, and is the same bytes each time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...markup import Markup, Overview, element, quote
from .budget import BOOK, Budget, take_while_it_fits
from .content import Content
from .page import write_entry, write_file
from .style import page_style
from .table import fold, write_table

_LEAST_ELEMENTS = 400  # of an explanation: many share the page


@dataclass(frozen=True)
class Chapter:
    """Explanations that belong together.

    Args:
        title: Of the chapter.
        contents: The explanations.
        about: What to look at, a paragraph each.
        tables: Figures about all of them, below.
        ending: What is said last, a line each.
        side_by_side: Whether explanations stand beside each other, where there is room.
    """

    title: str
    contents: Sequence[Content]
    about: Sequence[str] = ()
    tables: Sequence[Overview] = ()
    ending: Sequence[str] = ()
    side_by_side: bool = False


@dataclass(frozen=True)
class Book:
    """A page of chapters.

    Args:
        title: Of the page.
        chapters: In their order.
        about: What the page is, a paragraph each.
        texts: Titles and long texts that open at a click, at the end: licences.
    """

    title: str
    chapters: Sequence[Chapter]
    about: Sequence[str] = ()
    texts: Sequence[tuple[str, str]] = ()


def write_book(book: Book, budget: Budget = BOOK) -> str:
    """Return the page as text of a file. What does not fit into the budget is left out, and said.

    Args:
        book: What it tells.
        budget: Its limits.
    """
    count = max(1, sum(len(chapter.contents) for chapter in book.chapters))
    top = [element("h1", quote(book.title)), *_paragraphs(book.about), _write_contents(book)]
    texts = [fold(title, element("pre", text)) for title, text in book.texts]
    left = budget.without(page_style(), *top, *texts)
    share = Budget(left.bytes // count, max(left.elements // count, _LEAST_ELEMENTS), left.samples)
    written = (_write_chapter(chapter, i, share) for i, chapter in enumerate(book.chapters))
    shown = take_while_it_fits(written, left)
    return write_file(book.title, [*top, *shown, *_said_left_out(book, len(shown)), *texts])


def _write_contents(book: Book) -> Markup:
    items = [
        element("li", element("a", quote(chapter.title), href=f"#chapter-{i}"))
        for i, chapter in enumerate(book.chapters)
    ]
    return element("nav", element("ul", *items), aria_label="Chapters")


def _write_chapter(chapter: Chapter, number: int, budget: Budget) -> Markup:
    heading = element("h2", quote(chapter.title), id=f"chapter-{number}")
    entries = [write_entry(content, budget) for content in chapter.contents]
    if chapter.side_by_side:
        entries = [element("div", *entries, class_="beside")]
    tables = [part for table in chapter.tables for part in _write_figures(table)]
    ending = _paragraphs(chapter.ending, "quiet")
    return element(
        "section",
        heading,
        *_paragraphs(chapter.about),
        *entries,
        *tables,
        *ending,
        class_="chapter",
    )


def _write_figures(table: Overview) -> list[Markup]:
    title = element("h3", quote(table.title))
    rows = [(quote(row[0]), *row[1:]) for row in table.rows]
    scrolled = element("div", write_table(table.head, rows), class_="scroll")
    return [title, scrolled, *_paragraphs(table.notes, "quiet")]


def _paragraphs(texts: Sequence[str], kind: str | None = None) -> list[Markup]:
    return [element("p", quote(text), class_=kind) for text in texts]


def _said_left_out(book: Book, shown: int) -> list[Markup]:
    if shown == len(book.chapters):
        return []
    said = f"{shown} of {len(book.chapters)} chapters are shown: a page holds no more."
    return [element("p", said, class_="quiet")]
