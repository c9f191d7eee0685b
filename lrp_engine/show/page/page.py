"""Write an explanation as one piece of HTML: no script, nothing fetched, the same bytes each time.

In order: what was asked, where the number went, what the model said, the pictures, the values, the
ledger, and what it all rests on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ...markup import Markup, element, join, quote
from ...markup.numbers import signed
from ..titles import subtitle_of, title_of
from .budget import FRAGMENT, PAGE, Budget, Room, take_while_it_fits
from .content import Content
from .details import write_details, write_ledger
from .ledger_chart import write_strip
from .prediction import write_prediction
from .source import SourceView
from .source_panel import write_source
from .style import fragment_style, page_style
from .table import fold


@dataclass(frozen=True)
class _Form:
    """Say how a piece of HTML is written: its limits, its headings, how much it tells."""

    budget: Budget
    headings: tuple[str, str]
    in_full: bool = True


def write_page(content: Content) -> str:
    """Return a page of its own, as text of a file."""
    return write_file(_title(content), _body(content, _Form(PAGE, ("h1", "h2")), page_style()))


def write_file(title: str, body: Sequence[Markup]) -> str:
    """Return a page with our style, as text of a file."""
    head = [
        element("meta", charset="utf-8"),
        element("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        page_style(),
    ]
    main = element("main", *body, class_="lrp")
    page = element("html", element("head", *head), element("body", main), lang="en")
    return f"<!doctype html>\n{page}\n"


def write_entry(content: Content, budget: Budget) -> Markup:
    """Return an explanation as a part of a longer page: what it rests on opens at a click."""
    parts = _body(content, _Form(budget, ("h3", "h4"), in_full=False), Markup())
    rests = [write_ledger(content, "h4"), write_details(content, "h4")]
    return element("article", *parts, fold("The ledger, and what this rests on", *rests))


def write_fragment(content: Content, *, in_full: bool = True, budget: Budget = FRAGMENT) -> str:
    """Return a piece of HTML that follows the theme of the notebook around it.

    Args:
        content: What it tells.
        in_full: False leaves out what the explanation rests on.
        budget: Its limits.
    """
    style = fragment_style()
    body = _body(content, _Form(budget, ("h3", "h4"), in_full), style)
    return element("div", style, *body, class_="lrp")


def _title(content: Content) -> str:
    samples = len(content.explained)
    if samples == 1 and content.name:
        return f"{content.name}: {signed(float(content.explained[0]))}"
    if samples == 1:
        return title_of(content.labels, 0, float(content.explained[0]))
    return f"{content.labels.title or 'Explanations'}: {samples} samples, {content.preset}"


def _body(content: Content, form: _Form, style: Markup) -> Sequence[Markup]:
    first, second = form.headings
    top = [element(first, quote(_title(content)))]
    if len(content.explained) == 1:
        line = subtitle_of(content.labels, 0, 1, content.preset)
        top.append(element("p", quote(line), class_="quiet"))
    if content.balance is not None:
        top.append(write_strip(content.balance))
    below = [write_ledger(content, second), write_details(content, second)] if form.in_full else []
    left = form.budget.without(style, *top, *below)
    samples = take_while_it_fits(_samples(content, second, form.budget), left)
    return [*top, *samples, *_said_left_out(content, len(samples), form.budget), *below]


def _samples(content: Content, heading: str, budget: Budget) -> Iterator[Markup]:
    """Yield the samples, as many as the budget names."""
    count = min(len(content.explained), budget.samples)
    room = budget.room(count, min(len(content.relevance), budget.sources) or 1)
    for sample in range(count):
        yield _write_sample(content, sample, heading, budget.sources, room)


def _write_sample(content: Content, sample: int, heading: str, sources: int, room: Room) -> Markup:
    samples, labels = len(content.explained), content.labels
    parts = []
    if samples > 1:
        title = title_of(labels, sample, float(content.explained[sample]))
        line = subtitle_of(labels, sample, samples, content.preset)
        parts += [element(heading, quote(title)), element("p", quote(line), class_="quiet")]
    if content.scores is not None:
        parts.append(write_prediction(content.scores[sample], labels, sample))
    about = labels.question(sample).text(labels.class_names) or "the explained number"
    shown = _strongest_sources(content, sample, sources)
    if (left_out := len(content.relevance) - len(shown)) > 0:
        said = f"The {len(shown)} sources of most |R|; {left_out} more are left out."
        parts.append(element("p", said, class_="quiet"))
    for name in shown:
        view = SourceView(name, content.relevance[name], labels, sample, about, room)
        parts.append(write_source(view))
    return element("section", join(parts), class_="sample")


def _strongest_sources(content: Content, sample: int, most: int) -> list[str]:
    """Return the sources of most |R|, in the order of the explanation."""
    names = list(content.relevance)
    if len(names) <= most:
        return names
    sizes = {name: float(r[sample].abs().sum()) for name, r in content.relevance.items()}
    strongest = set(sorted(names, key=lambda name: -sizes[name])[:most])
    return [name for name in names if name in strongest]


def _said_left_out(content: Content, shown: int, budget: Budget) -> list[Markup]:
    samples = len(content.explained)
    if shown == samples:
        return []
    text = f"{shown} of {samples} samples are shown: one page holds at most {budget.text()}."
    return [element("p", text, class_="quiet")]
