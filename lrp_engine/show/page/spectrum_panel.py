"""Write spectrograms: what the source held, and relevance over a pale copy of it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ...markup import Markup, element, join
from ..kinds import SHOWN, Kind, sum_to
from ..limits import SPARSE_CLIP, limit_of_plane
from ..spectra import darkness, find_ticks, name_frequency, upright
from .heat_map import pool, shrink
from .legend import write_legend
from .palette import ghost_palette, levels, map_palette
from .png import data_uri, palette_png
from .series import write_ends
from .source import SourceView

_COLOURS, _TONES = 31, 8  # of the map, and of the pale source: together a palette of 248
_GREYS = 255


def write_spectrogram(view: SourceView) -> Markup:
    """Write the source in grey, the map over it, and below the map its sum over frequencies."""
    frequencies = view.known.frequencies
    plane, step = pool(upright(view.own, frequencies), view.room.pixels)
    limit, ink = limit_of_plane(plane, SPARSE_CLIP), _ink(view)
    remarks = [limit.text(), "own scale"]
    panels, tones = [], torch.zeros(plane.shape)
    if ink is not None:
        tones = shrink(ink[0][None], step)[0]
        grey = palette_png(_places(1 - tones, _GREYS), [(i, i, i) for i in range(_GREYS)])
        panels.append(_write_panel(view, grey, f"What {view.name} held"))
        remarks.append(ink[1])
    if step > 1:
        remarks.append(f"cell = {step}×{step} entries, summed")
    mixed = levels(plane, limit.end, _COLOURS) * np.uint8(_TONES) + _places(1 - tones, _TONES)
    picture = palette_png(mixed, ghost_palette(_COLOURS, _TONES))
    sums = plane.sum(0)[None]
    most = float(sums.abs().max()) or 1.0
    below = palette_png(levels(sums, most, 255), map_palette(255))
    panels.append(_write_panel(view, picture, _alt(view), below))
    caption = element("figcaption", "; ".join(remarks), "; strip: the sum over frequencies")
    row = element("div", *panels, class_="row spectra")
    return join([element("figure", row, caption), write_legend(limit.end, view.unit)])


def _ink(view: SourceView) -> tuple[Tensor, str] | None:
    """Return how dark the source is drawn, and by what; None if what it held is unknown."""
    if view.data is None:
        return None
    held = sum_to(view.data, view.axes, SHOWN[Kind.SPECTROGRAM])
    return darkness(upright(held, view.known.frequencies))


def _places(brightness: Tensor, count: int) -> np.ndarray:
    places: np.ndarray = (brightness * (count - 1)).round().numpy().astype(np.uint8)
    return places


def _write_panel(view: SourceView, png: bytes, alt: str, below: bytes | None = None) -> Markup:
    """Write a picture between its frequencies and its time."""
    ticks = find_ticks(len(view.own), view.known.frequencies)
    names = [element("span", tick.text, style=f"bottom:{100 * tick.place:.1f}%") for tick in ticks]
    picture = element("img", src=data_uri(png), alt=alt)
    held = element("div", element("div", *names, class_="hertz"), picture, class_="plane")
    strip = []
    if below is not None:
        strip.append(element("img", src=data_uri(below), alt="", class_="strip-of-colours"))
    ends = write_ends(view.own.shape[1], view.known.rate)
    return element("div", held, *strip, ends, class_="spectrum")


def _alt(view: SourceView) -> str:
    place = int(view.own.argmax())
    row, column = divmod(place, view.own.shape[1])
    rate = view.known.rate
    at = f"{column / rate:.3g} s" if rate else f"entry {column}"
    where = name_frequency(row, view.known.frequencies)
    return f"Relevance over time and frequency for {view.about}: most for at {where}, {at}"
