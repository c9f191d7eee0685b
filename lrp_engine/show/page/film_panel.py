"""Write videos: a bar per frame, and the frames of most |R| with their maps."""

from __future__ import annotations

import torch
from torch import Tensor

from ...markup import Markup, element, join
from ...markup.numbers import signed
from ..limits import limit_of_plane
from .bar import Scale, Span, write_track
from .entries import strongest_entries
from .heat_map import pool, shrink, strongest, write_map
from .legend import write_legend
from .source import SourceView
from .table import write_table

_MOST_FRAMES, _MOST_BARS = 8, 60


def write_film(view: SourceView) -> Markup:
    """Write the frames of a sample on one scale, in their order."""
    planes = [pool(frame, view.room.pixels) for frame in view.own]
    sizes = view.own.abs().flatten(1).sum(1)
    shown = sorted(strongest_entries(sizes, _MOST_FRAMES))
    limit = limit_of_plane(view.own if planes[0][1] == 1 else _stacked(planes))
    frames = [_write_frame(view, i, *planes[i], limit.end) for i in shown]
    remarks = [limit.text(), "one scale for all frames"]
    if len(shown) < len(planes):
        remarks.append(f"{len(shown)} of {len(planes)} frames, those of most |R|")
    film = element("div", *frames, class_="film")
    caption = element("figcaption", "; ".join(remarks))
    legend = write_legend(limit.end, view.unit)
    return join([element("figure", film, caption), legend, _write_bars(view)])


def _stacked(planes: list[tuple[Tensor, int]]) -> Tensor:
    return planes[0][0].new_tensor([plane.tolist() for plane, _ in planes])


def _write_frame(view: SourceView, place: int, plane: Tensor, step: int, limit: float) -> Markup:
    image = None
    if view.image is not None and view.image[0].dim() == 4:
        own = view.image[0][place]
        image = shrink(own, step) if own.shape[-2:] == view.own.shape[1:] else own
    alt = f"Frame {place} for {view.about}: {strongest(plane)}"
    amount = signed(float(view.own[place].sum()))
    name = element("span", f"frame {place}: {amount}", class_="quiet")
    return element("div", write_map(plane, limit, alt, image), name)


def _write_bars(view: SourceView) -> Markup:
    """Write a bar per frame, or per run of frames where there are many."""
    amounts = view.own.flatten(1).sum(1)
    step = -(-len(amounts) // _MOST_BARS)
    runs = [float(part.sum()) for part in torch.split(amounts, step)]
    scale = Scale.around(*runs)
    rows = []
    for number, amount in enumerate(runs):
        first, last = number * step, min((number + 1) * step, len(amounts)) - 1
        name = f"frame {first}" if first == last else f"frames {first} to {last}"
        rows.append((name, write_track([Span.of(amount)], scale), signed(amount)))
    return write_table(("", "against | for", "relevance#"), rows, kind="chart")
