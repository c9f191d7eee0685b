"""Choose the panel that shows a sample, and where its colours end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from ..kinds import Kind
from ..limits import CLIP, SPARSE_CLIP, Limit, limit_of_plane
from .bars import BarsPanel, Row, WaterfallPanel, rows_of
from .chips import WordsPanel
from .chips import limit_of as limit_of_words
from .look import Look, Scale, View
from .maps import MapPanel, pooled
from .region import Region
from .sample import Sample
from .series import SeriesPanel, limit_of_series
from .spectrogram import SpectrogramPanel
from .video import VideoPanel, limit_of_video


class Panel(Protocol):
    """Show one sample."""

    @property
    def width(self) -> float:
        """The width in inches that it likes best."""

    @property
    def limit(self) -> Limit:
        """Return where its colours end."""

    def height(self, width: float) -> float:
        """Return the height in inches at a width."""

    def draw(self, region: Region) -> None:
        """Draw it."""


@dataclass(frozen=True)
class Shown:
    """One sample with the number that it explains, and what was absorbed, for waterfalls."""

    sample: Sample
    explained: float
    absorbed: Sequence[Row] = ()


def limit_of(sample: Sample, look: Look) -> Limit:
    """Return where the colours of one sample end, by itself or where it was asked."""
    own = _own_limit(sample, look)
    if isinstance(look.scale, Scale):
        return own
    return Limit(look.scale, max(own.largest, look.scale), clip=None)


def _own_limit(sample: Sample, look: Look) -> Limit:
    clip = look.clip or (SPARSE_CLIP if sample.kind is Kind.SPECTROGRAM else CLIP)
    match sample.kind:
        case Kind.WORDS:
            return limit_of_words(sample, look)
        case Kind.SERIES:
            return limit_of_series(sample, clip)
        case Kind.SPECTROGRAM:
            return limit_of_plane(sample.amounts, clip)
        case Kind.VIDEO:
            return limit_of_video(sample, clip)
        case Kind.IMAGE:
            return limit_of_plane(pooled(sample.amounts)[0], clip)
    largest = max((abs(row.amount) for row in rows_of(sample, look)), default=0.0) or 1.0
    return Limit(largest, largest)


def limits_of(samples: Sequence[Sample], look: Look, rows: Sequence[int] = ()) -> list[Limit]:
    """Return where the colours of each sample end: by itself, or where those that share do.

    `rows` has the number of each sample's row; without it all are in one.
    """
    found = [limit_of(sample, look) for sample in samples]
    if look.scale not in (Scale.ALL, Scale.ROW):
        return found
    groups = list(rows) if rows and look.scale is Scale.ROW else [0] * len(found)
    shared = {
        row: _shared([limit for limit, at in zip(found, groups, strict=True) if at == row])
        for row in set(groups)
    }
    return [shared[row] for row in groups]


def _shared(limits: Sequence[Limit]) -> Limit:
    widest = max(limits, key=lambda limit: limit.end)
    return replace(widest, largest=max(limit.largest for limit in limits))


def panel_for(
    shown: Shown, look: Look, limit: Limit, *, bar: bool, side: float, view: View
) -> Panel:
    """Return the panel that shows a sample.

    Args:
        shown: The sample.
        look: Of the picture.
        limit: Where the colours end.
        bar: Whether the panel has a bar of colours of its own.
        side: Of images, in inches.
        view: Of an image and its map, what is shown.
    """
    sample = shown.sample
    match sample.kind:
        case Kind.WORDS:
            return WordsPanel(sample, look, limit, bar)
        case Kind.SERIES:
            return SeriesPanel(sample, look, limit, bar)
        case Kind.SPECTROGRAM:
            return SpectrogramPanel(sample, look, limit, bar)
        case Kind.VIDEO:
            return VideoPanel(sample, look, limit, bar)
        case Kind.IMAGE:
            return MapPanel(sample, look, limit, bar, view, side)
    if look.waterfall:
        return WaterfallPanel(sample, look, shown.explained, shown.absorbed)
    return BarsPanel(sample, look, limit, bar)
