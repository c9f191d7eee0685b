"""Write series: the channels of most |R|, each a line over its strip of colours."""

from __future__ import annotations

from torch import Tensor

from ...markup import Markup, element, join
from ...markup.numbers import plain
from ..axes import Axis
from ..kinds import sum_to
from ..limits import limit_of_plane
from .entries import strongest_entries
from .legend import write_legend
from .series import Channel, binned, write_channel, write_ends
from .source import SourceView

_MOST_CHANNELS = 12


def write_series(view: SourceView) -> Markup:
    """Write a sample's channels on one scale."""
    relevance = view.own if view.own.dim() == 2 else view.own[None]
    shown = sorted(strongest_entries(relevance.abs().sum(1), _MOST_CHANNELS))
    limit = limit_of_plane(binned(relevance[shown]))
    remarks = [limit.text(), "one scale for all channels" if len(shown) > 1 else "own scale"]
    if len(shown) < len(relevance):
        remarks.append(f"{len(shown)} of {len(relevance)} channels, those of most |R|")
    if binned(relevance).shape[-1] < relevance.shape[-1]:
        parts = binned(relevance).shape[-1]
        remarks.append(f"relevance summed over {parts} parts of equal length")
    channels = [_channel(view, i, relevance[i], len(relevance)) for i in shown]
    rows = [write_channel(c, limit.end, _alt(view, c)) for c in channels]
    ends = write_ends(relevance.shape[-1], view.known.rate)
    caption = element("figcaption", "; ".join(remarks))
    return join([element("figure", *rows, ends, caption), write_legend(limit.end, view.unit)])


def _channel(view: SourceView, place: int, relevance: Tensor, channels: int) -> Channel:
    signal, names = _signals(view), view.known.feature_names
    name = names[place] if len(names) == channels else f"channel {place}"
    own = None if signal is None or len(signal) != channels else signal[place]
    return Channel(name if channels > 1 else "", relevance, own)


def _signals(view: SourceView) -> Tensor | None:
    """Return the signal, (channels, time); None if it is unknown, or has more axes."""
    known = {Axis.CHANNEL, Axis.TIME}
    if view.data is None or not set(view.axes) <= known:
        return None
    signal = sum_to(view.data, view.axes, view.kept)
    return signal if signal.dim() == 2 else signal[None]


def _alt(view: SourceView, channel: Channel) -> str:
    place = int(channel.relevance.abs().argmax())
    at = f"{place / view.known.rate:.4g} s" if view.known.rate else f"entry {place}"
    amount = plain(float(channel.relevance[place]))
    name = channel.name or view.name
    return f"Relevance of {name} over time for {view.about}: strongest at {at}, {amount}"
