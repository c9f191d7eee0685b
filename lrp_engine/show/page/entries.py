"""Name the entries of a source, strongest first: what every picture is also told in words as."""

from __future__ import annotations

from torch import Tensor

from ...markup import Markup, quote
from ...markup.numbers import percent, plain, signed
from ..axes import Axis
from ..kinds import Kind
from ..spectra import name_frequency
from .source import SourceView
from .table import fold, write_table

_NAMES = {Axis.HEIGHT: "row", Axis.WIDTH: "column", Axis.TIME: "entry", Axis.TOKEN: "position"}


def write_values(view: SourceView) -> Markup:
    """Write the strongest entries there is room for, as a table that opens at a click."""
    named = strongest(view, view.room.rows)
    total = view.size or 1.0
    rows = [(quote(name), signed(amount), percent(abs(amount) / total)) for name, amount in named]
    count = len(view.words) if view.kind is Kind.WORDS else view.own.numel()
    title = f"Values of {view.name}: {len(rows)} of {count:,}, strongest first"
    return fold(title, write_table(("", "relevance#", "of |R|#"), rows))


def strongest_entries(amounts: Tensor, most: int) -> list[int]:
    """Return the places of the entries of largest |R|, largest first; of equal ones the first."""
    order = amounts.abs().argsort(descending=True, stable=True)
    places: list[int] = order[:most].tolist()
    return places


def name_entry(view: SourceView, place: int) -> str:
    """Return the name of an entry by its place in the flattened source: `alcohol = 14.2`."""
    index = _unravel(place, view.own.shape)
    if view.kind is Kind.NUMBERS:
        return f"[{', '.join(map(str, index))}]"
    if view.kind is Kind.TABLE:
        return _name_feature(view, index[0])
    parts = zip(view.kept, index, strict=True)
    return ", ".join(_name_place(view, axis, i) for axis, i in parts)


def strongest(view: SourceView, most: int) -> list[tuple[str, float]]:
    """Return name and relevance of the entries, or words, of largest |R|, largest first."""
    if view.kind is Kind.WORDS:
        words = sorted(enumerate(view.words), key=lambda item: -abs(item[1].amount))
        return [(f"{place}: {word.text}", word.amount) for place, word in words[:most]]
    flat = view.own.reshape(-1)
    return [(name_entry(view, i), float(flat[i])) for i in strongest_entries(flat, most)]


def _name_place(view: SourceView, axis: Axis, place: int) -> str:
    rate = view.known.rate
    if axis is Axis.FREQUENCY:
        return name_frequency(place, view.known.frequencies)
    if axis is Axis.TIME and rate:
        return f"{place / rate:.6g} s"
    return f"{_NAMES.get(axis, axis.value)} {place}"


def _name_feature(view: SourceView, place: int) -> str:
    names, values = view.known.feature_names, view.known.feature_values
    name = names[place] if place < len(names) else f"feature {place}"
    if values:
        return f"{name} = {values[view.sample][place]}"
    if view.data is not None and view.data.shape == view.own.shape:
        return f"{name} = {plain(float(view.data[place]))}"
    return name


def _unravel(place: int, shape: tuple[int, ...]) -> list[int]:
    found = []
    for size in reversed(shape):
        place, rest = divmod(place, size)
        found.append(rest)
    return found[::-1]
