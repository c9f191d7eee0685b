"""Put what the demo found on one page and into one picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ..boundary.reading import read_text
from ..boundary.writing import write_text
from ..markup import Overview
from ..markup.numbers import percent, plain
from ..results.explanation import Explanation
from ..results.page_content import content_of
from ..results.plotting import Given, picture_of
from ..show.figure import Picture, draw_board
from ..show.page import Book, Chapter, write_book
from .digit_cases import ABOUT_DIGITS, DIGITS_CREDIT
from .exhibit import Credit
from .run_exhibit import Finding, Shown

_TITLE = "What did the model look at?"
_ABOUT = (
    "Pretrained models of other people, as they are published, and what their answers rest on."
    " Red speaks for what was asked, blue against it.",
    "Below each chapter the explanation is tested: the entries of most relevance are taken away,"
    " and the answer is asked for again. It should fall more than if others are taken away. Where"
    " another choice of entries does better, the table says so.",
)


def write_demo_page(path: Path, shown: Sequence[Shown], digits: Explanation | None) -> Path:
    """Write one page of all exhibits, with credits and the texts of licences; return its path."""
    chapters = [_chapter(one) for one in shown]
    credits = [credit for one in shown for credit in one.exhibit.credits]
    if digits is not None:
        content = content_of(digits, compute=True)
        chapters.append(Chapter("A small example", [content], (ABOUT_DIGITS,)))
        credits.append(DIGITS_CREDIT)
    book = Book(_TITLE, chapters, _ABOUT, _texts(credits))
    return write_text(path, write_book(book))


def draw_demo(path: Path, shown: Sequence[Shown]) -> Path:
    """Draw all explanations of the exhibits as one picture; return its path."""
    pictures = [_picture(one, finding) for one in shown for finding in one.findings]
    draw_board(pictures).savefig(path)
    return path


def table_of_falls(shown: Shown) -> Overview:
    """Return what is left of the score without the entries of most relevance, and without others.

    Of the numbers of a row, the lowest is the best.
    """
    test = shown.exhibit.deletion
    names = list(shown.findings[0].falls[0].after)
    rows = [
        (
            finding.case.name,
            percent(fall.share),
            plain(fall.before),
            *(_marked(fall.after[name], min(fall.after.values())) for name in names),
        )
        for finding in shown.findings
        for fall in finding.falls
    ]
    return Overview(
        title=f"{test.named[0].upper()}{test.named[1:]} without some {test.what}",
        head=("", "without#", "whole#", *(f"{name}#" for name in names)),
        rows=rows,
        notes=[
            f"Entries are chosen by relevance under {names[0]}, the preset explained above;"
            f" {_other_ways(names[1:])}. * marks the lowest number of a row."
        ],
    )


def _marked(score: float, lowest: float) -> str:
    return f"{plain(score)}{' *' if score == lowest else ''}"


def _other_ways(names: Sequence[str]) -> str:
    said = {"loudest": "where the source held most", "random": "at random (mean of 5 draws)"}
    return "; ".join(said.get(name, f"under {name}") for name in names)


def _chapter(shown: Shown) -> Chapter:
    return Chapter(
        shown.exhibit.title,
        [content_of(finding.explanation, compute=True) for finding in shown.findings],
        (shown.exhibit.about,),
        [table_of_falls(shown)],
        [credit.line() for credit in shown.exhibit.credits],
    )


def _texts(credits: Sequence[Credit]) -> list[tuple[str, str]]:
    """Return the licences and notices, each once."""
    found = {file: f"{credit.work}: {file.name}" for credit in credits for file in credit.texts}
    return [(title, read_text(file)) for file, title in found.items()]


def _picture(shown: Shown, finding: Finding) -> Picture:
    labels = replace(finding.explanation.labels, notes=(_one_line(shown, finding),))
    explanation = finding.explanation.labelled(labels)
    return picture_of(explanation, None, 0, Given(), shown.exhibit.look)


def _one_line(shown: Shown, finding: Finding) -> str:
    """Say how far the score falls without the first share of the entries."""
    fall, test = finding.falls[0], shown.exhibit.deletion
    after, *_, chance = fall.after.values()
    return (
        f"{test.named} without {percent(fall.share)} of the {test.what}:"
        f" {plain(fall.before)} → {plain(after)} (at random {plain(chance)})"
    )
