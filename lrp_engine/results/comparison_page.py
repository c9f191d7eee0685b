"""Write explanations of the same samples side by side, as one page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from ..boundary.writing import require_ending, write_text
from ..markup import Overview
from ..show.agreement import agreement_table
from ..show.page import Book, Chapter, Content, write_book
from ..show.titles import title_of
from .comparable import comparable_maps, find_compared, name_explanations
from .page_content import content_of
from .told import Told

_MOST_SAMPLES = 8


def write_comparison(
    path: str | Path,
    explanations: Sequence[Told] | Mapping[str, Told],
    source: str | None = None,
    *,
    title: str = "Side by side",
) -> Path:
    """Write explanations of the same samples as one page: of several presets, or of several models.

    A chapter per sample shows them side by side, each with its own scale, and a table of how far
    they agree: Pearson's correlation of the entries shown, and that of their ranks. The page has no
    script and fetches nothing. At most 8 samples; what is left out is said.

    Args:
        path: Of the page, `.html` or `.htm`.
        explanations: A list, named by their presets; or by name.
        source: The source to compare. Default: the only one.
        title: Of the page.

    Returns:
        The path.

    Raises:
        InputError: There are fewer than two explanations, two have one name, or they are not of the
            same samples, words and shape; or the path does not end in `.html` or `.htm`.

    Example:
        >>> import tempfile, torch, lrp_engine as lrp
        >>> net, x = torch.nn.Linear(4, 2).eval(), torch.ones(2, 4)
        >>> engine = lrp.Engine(net, x)
        >>> both = [engine.with_preset(p).explain(x, 1) for p in ("epsilon", "attnlrp")]
        >>> lrp.write_comparison(f"{tempfile.mkdtemp()}/both.html", both).name
        'both.html'
    """
    named = name_explanations(explanations)
    file = require_ending(path, [".html", ".htm"])
    count = len(next(iter(named.values())).explained.reshape(-1))
    shown = min(count, _MOST_SAMPLES)
    maps = [comparable_maps(named, source, sample) for sample in range(shown)]
    contents = [_content(name, one, source) for name, one in named.items()]
    chapters = [
        Chapter(
            _title(contents[0], sample),
            [content.sample(sample) for content in contents],
            tables=[_agreement(list(named), list(maps[sample].values()))],
            side_by_side=True,
        )
        for sample in range(shown)
    ]
    about = [f"{shown} of {count} samples are shown."] if shown < count else []
    return write_text(file, write_book(Book(title, chapters, about)))


def _content(name: str, explanation: Told, source: str | None) -> Content:
    return replace(
        content_of(explanation, find_compared(explanation, source), compute=True), name=name
    )


def _title(content: Content, sample: int) -> str:
    """Return the sample's name with what was asked of it."""
    labels = content.labels
    known = labels.samples[sample] if sample < len(labels.samples) else f"sample {sample}"
    return f"{known}: {title_of(labels, sample, float(content.explained[sample]))}"


def _agreement(names: list[str], maps: list[Tensor]) -> Overview:
    head, *rows = agreement_table(names, maps)
    return Overview(
        title="How far they agree: correlation of relevance",
        head=("", *(f"{name}#" for name in head[1:])),
        rows=[tuple(row) for row in rows],
        notes=[f"{head[0]} the diagonal."],
    )
