"""Draw series: the signal in ink, a strip of colours below it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from ..axes import Axis
from ..colours import LIGHT
from ..kinds import sum_to
from ..limits import Limit
from .bar import BAR_HEIGHT, draw_bar
from .look import Look
from .region import Region, write
from .sample import Sample

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_CHANNELS = 12
_MOST, _BINS = 2000, 1000
_SIGNAL, _STRIP, _GAP = 0.5, 0.16, 0.1


def binned(values: Tensor) -> Tensor:
    """Return values summed over equal parts of the last axis, if that has over 2,000 entries."""
    return values if values.shape[-1] <= _MOST else _parts(values, 0.0).sum(-1)


def _parts(values: Tensor, fill: float) -> Tensor:
    size = -(-values.shape[-1] // _BINS)
    missing = -values.shape[-1] % size
    padded = torch.nn.functional.pad(values, (0, missing), value=fill)
    return padded.reshape(*padded.shape[:-1], -1, size)


def channels_of(sample: Sample) -> Tensor:
    """Return relevance by channel and time."""
    kept = [axis for axis in (Axis.CHANNEL, Axis.TIME) if axis in sample.axes]
    found = sum_to(sample.relevance, sample.axes, kept)
    return found if found.dim() == 2 else found[None]


def signal_of(sample: Sample) -> Tensor | None:
    """Return the signal by channel and time, if it is known and has no other axes."""
    if sample.data is None or not set(sample.axes) <= {Axis.CHANNEL, Axis.TIME}:
        return None
    kept = [axis for axis in (Axis.CHANNEL, Axis.TIME) if axis in sample.axes]
    data = sum_to(sample.data, sample.axes, kept)
    return data if data.dim() == 2 else data[None]


@dataclass(frozen=True)
class SeriesPanel:
    """Channels below each other, those of most |R| if there are many; time along the bottom."""

    sample: Sample
    look: Look
    limit: Limit
    bar: bool = True

    width: ClassVar[float] = 7.6

    def _chosen(self) -> list[int]:
        amounts = channels_of(self.sample).abs().sum(-1)
        most = min(len(amounts), self.look.top or _CHANNELS)
        return sorted(amounts.topk(most).indices.tolist())

    def _row(self) -> float:
        return _STRIP + _GAP + (_SIGNAL if signal_of(self.sample) is not None else 0.06)

    def height(self, width: float) -> float:
        """Return the height in inches."""
        left_out = len(channels_of(self.sample)) > len(self._chosen())
        below = 0.17 * left_out + (BAR_HEIGHT if self.bar else 0.17)
        return self._row() * len(self._chosen()) + 0.4 + below

    def draw(self, region: Region) -> None:
        """Draw the channels, the time, and the bar."""
        relevance, signal = channels_of(self.sample), signal_of(self.sample)
        chosen, left, y = self._chosen(), 0.75 if len(relevance) > 1 else 0.1, 0.0
        axes = None
        for channel in chosen:
            row = region.part(left, y, region.width - left - 0.1, self._row() - _GAP)
            axes = self._draw_channel(
                row, relevance[channel], None if signal is None else signal[channel]
            )
            if len(relevance) > 1:
                side = region.part(0, y, left, self._row() - _GAP).sheet()
                middle = (self._row() - _GAP) / 2
                write(
                    side, left - 0.08, middle, f"channel {channel}", ha="right", color=LIGHT.quiet
                )
            y += self._row()
        if axes is not None:
            self._draw_time(axes)
        y += 0.36
        if not self.bar:
            below = region.part(left, y, 4, 0.17).sheet()
            write(below, 0, 0.06, self.limit.text(), color=LIGHT.quiet)
            y += 0.17
        if len(chosen) < len(relevance):
            said = f"the {len(chosen)} of {len(relevance)} channels with most |R|"
            write(region.part(left, y, 4, 0.17).sheet(), 0, 0.06, said, color=LIGHT.quiet)
            y += 0.17
        if self.bar:
            draw_bar(region.part(left, y, 3.0, BAR_HEIGHT), self.limit, self.look)

    def _draw_channel(self, row: Region, relevance: Tensor, signal: Tensor | None) -> Axes:
        top = row.height - _STRIP
        extent = self._extent(relevance.shape[-1])
        if signal is not None:
            _draw_signal(row.part(0, 0, row.width, top - 0.02).axes(), signal, extent)
        strip = row.part(0, top, row.width, _STRIP).axes()
        amounts = relevance.abs() if self.look.absolute else relevance
        strip.imshow(
            binned(amounts)[None].numpy(),
            cmap=self.look.colours(),
            vmin=-self.limit.end,
            vmax=self.limit.end,
            aspect="auto",
            interpolation="nearest",
            extent=(*extent, 0, 1),
        )
        strip.set(yticks=[], xticks=[])
        for spine in strip.spines.values():
            spine.set(color="#c9ced6", linewidth=0.6)
        return strip

    def _extent(self, count: int) -> tuple[float, float]:
        rate = self.sample.labels.rate
        return (0.0, count / rate) if rate else (-0.5, count - 0.5)

    def _draw_time(self, axes: Axes) -> None:
        from matplotlib.ticker import MaxNLocator

        axes.xaxis.set_major_locator(MaxNLocator(8))
        axes.tick_params(labelsize=7.5, colors=LIGHT.quiet, length=2, width=0.6)
        said = "seconds" if self.sample.labels.rate else "entry"
        axes.set_xlabel(said, size=7.5, color=LIGHT.quiet, labelpad=1)


def _draw_signal(axes: Axes, signal: Tensor, extent: tuple[float, float]) -> None:
    """Draw the signal as a line, or its envelope if it is long."""
    if len(signal) > _MOST:
        parts = _parts(signal, float(signal[-1]))
        low, high = parts.amin(-1), parts.amax(-1)
        edges = torch.linspace(*extent, len(low) + 1)
        middle = ((edges[1:] + edges[:-1]) / 2).numpy()
        axes.fill_between(middle, low.numpy(), high.numpy(), color=LIGHT.ink, linewidth=0.3)
    else:
        edges = torch.linspace(*extent, len(signal) + 1)
        middle = ((edges[1:] + edges[:-1]) / 2).numpy()
        axes.plot(middle, signal.numpy(), color=LIGHT.ink, linewidth=0.8)
    axes.set_xlim(extent)
    axes.set_axis_off()


def limit_of_series(sample: Sample, clip: float) -> Limit:
    """Return where the colours of all channels end."""
    from ..limits import limit_of_plane

    return limit_of_plane(binned(channels_of(sample)), clip)
