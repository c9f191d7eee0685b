"""Write series: the signal as a line, its relevance as a strip of colours below."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...markup import Markup, element
from .palette import levels, map_palette
from .png import data_uri, palette_png

_MOST_ENTRIES = 2000
_BINS = 1000
_WIDTH, _HEIGHT = 1000, 100


@dataclass(frozen=True)
class Channel:
    """One channel of a series: relevance (time,), the signal (time,) if it is known, and a name."""

    name: str
    relevance: Tensor
    signal: Tensor | None


def binned(relevance: Tensor) -> Tensor:
    """Return relevance summed over equal parts of its last axis, if that has over 2,000 entries."""
    return relevance if relevance.shape[-1] <= _MOST_ENTRIES else _parts(relevance).sum(-1)


def write_channel(channel: Channel, limit: float, alt: str) -> Markup:
    """Write one channel; `limit` is where the colours end, of what `binned` returns."""
    strip = palette_png(levels(binned(channel.relevance)[None], limit, 255), map_palette(255))
    picture = element("img", src=data_uri(strip), alt=alt, class_="strip-of-colours")
    signal = [] if channel.signal is None else [_write_signal(channel.signal)]
    name = [element("span", element("bdi", channel.name), class_="quiet")] if channel.name else []
    return element("div", *name, *signal, picture)


def write_ends(count: int, rate: float | None) -> Markup:
    """Write the time at both ends: seconds if the rate is known, else the entry's number."""
    last = f"{count / rate:.4g} s" if rate else f"entry {count - 1}"
    first = "0 s" if rate else "entry 0"
    return element("div", element("span", first), element("span", last), class_="ends")


def _write_signal(signal: Tensor) -> Markup:
    many = len(signal) > _MOST_ENTRIES
    path = element("path", d=_envelope(signal) if many else _line(signal))
    if many:
        path = element("path", d=_envelope(signal), class_="envelope")
    return element(
        "svg",
        path,
        class_="signal",
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        preserveAspectRatio="none",
        aria_hidden="true",
    )


def _line(signal: Tensor) -> str:
    x = _places(len(signal))
    return "M" + "L".join(f"{a:.6g} {b:.4g}" for a, b in zip(x, _heights(signal), strict=True))


def _envelope(signal: Tensor) -> str:
    """Return the outline of a long signal: the largest value of each part, the smallest back."""
    parts = _parts(signal, fill=float(signal[-1]))
    heights = _heights(torch.cat([parts.amax(-1), parts.amin(-1).flip(0)]))
    x = _places(len(parts))
    return "M" + "L".join(f"{a:.6g} {b:.4g}" for a, b in zip([*x, *x[::-1]], heights, strict=True))


def _places(count: int) -> list[float]:
    return [_WIDTH * (i + 0.5) / count for i in range(count)]


def _heights(signal: Tensor) -> list[float]:
    low, high = float(signal.min()), float(signal.max())
    scaled = (signal - low) / ((high - low) or 1.0)
    heights: list[float] = ((1 - scaled) * (_HEIGHT - 4) + 2).tolist()
    return heights


def _parts(values: Tensor, fill: float = 0.0) -> Tensor:
    """Return the last axis cut into at most 1,000 equal parts, the last one filled up."""
    size = -(-values.shape[-1] // _BINS)
    missing = -values.shape[-1] % size
    padded = torch.nn.functional.pad(values, (0, missing), value=fill)
    return padded.reshape(*padded.shape[:-1], -1, size)
