"""Write one source of one sample: its picture, and the table of its values."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ...markup import Markup, element, quote
from ...markup.numbers import signed
from ..kinds import Kind
from .bar_panel import write_bars
from .entries import write_values
from .film_panel import write_film
from .image_panel import write_images
from .series_panel import write_series
from .source import SourceView
from .spectrum_panel import write_spectrogram
from .word_panel import write_words

_PANELS: Mapping[Kind, Callable[[SourceView], Markup]] = {
    Kind.IMAGE: write_images,
    Kind.VIDEO: write_film,
    Kind.WORDS: write_words,
    Kind.SPECTROGRAM: write_spectrogram,
    Kind.SERIES: write_series,
    Kind.TABLE: write_bars,
    Kind.NUMBERS: write_bars,
}


def write_source(view: SourceView) -> Markup:
    """Write a source's picture, and a table of its values."""
    shape = "×".join(str(size) for size in view.relevance.shape[1:]) or "one number"
    total = signed(float(view.own.sum()))
    name = element("span", quote(view.name), f" ({shape}), relevance {total}", class_="quiet")
    return element("div", name, _PANELS[view.kind](view), write_values(view), class_="source")
