"""Draw relevance over time and frequency: beside the sound, and over a pale copy of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor

from ..colours import LIGHT
from ..kinds import SHOWN, Kind, sum_to
from ..limits import Limit
from ..spectra import darkness, find_ticks, upright
from .bar import BAR_HEIGHT, draw_bar, frame
from .look import Look
from .maps import Photograph, coloured
from .region import Region, write
from .sample import Sample

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_HEIGHT, _LEFT, _GAP = 2.5, 0.62, 0.16
_STRIP, _BETWEEN, _BELOW = 0.13, 0.05, 0.36
_CAPTION = 0.17


@dataclass(frozen=True)
class SpectrogramPanel:
    """Draw what the source held, and its relevance over a pale copy; the lowest pitch is below.

    A strip below the map is the sum over frequencies, one beside it the sum over time.
    """

    sample: Sample
    look: Look
    limit: Limit
    bar: bool = True

    width: ClassVar[float] = 7.6

    def height(self, width: float) -> float:
        """Return the height in inches."""
        below = BAR_HEIGHT * self.bar + _CAPTION * len(self._captions())
        return _HEIGHT + _BETWEEN + _STRIP + _BELOW + below

    def draw(self, region: Region) -> None:
        """Draw the source, the map, its sums, the axes, and the bar."""
        ink = self._ink()
        room = region.width - _LEFT - _BETWEEN - _STRIP
        wide = room if ink is None else (room - _GAP) / 2
        left = _LEFT
        if ink is not None:
            axes = self._plane(region.part(left, 0, wide, _HEIGHT))
            self._show(axes, (1 - ink).expand(3, -1, -1).permute(1, 2, 0))
            self._draw_axes(axes, frequencies=True)
            left += wide + _GAP
        axes = self._plane(region.part(left, 0, wide, _HEIGHT))
        self._show(axes, self._colours(self.amounts, ink))
        self._draw_axes(axes, frequencies=ink is None, ticks=False)
        self._draw_sums(region, left, wide)
        self._draw_below(region)

    @property
    def amounts(self) -> Tensor:
        """Relevance, (frequency, time), the lowest frequency last."""
        return upright(self.sample.amounts, self.sample.labels.frequencies)

    def _ink(self) -> Tensor | None:
        """Return how dark the source is drawn; None if what it held is unknown."""
        values = self._values()
        return None if values is None else darkness(values)[0]

    def _values(self) -> Tensor | None:
        data, kept = self.sample.data, SHOWN[Kind.SPECTROGRAM]
        if data is None:
            return None
        return upright(sum_to(data, self.sample.axes, kept), self.sample.labels.frequencies)

    def _colours(self, amounts: Tensor, ink: Tensor | None, limit: float = 0.0) -> Tensor:
        below = None if ink is None else Photograph((1 - ink)[None], True)
        return coloured(amounts, limit or self.limit.end, self.look, below)

    def _plane(self, region: Region) -> Axes:
        axes = region.axes()
        frame(axes)
        return axes

    def _show(self, axes: Axes, pixels: Tensor) -> None:
        seconds = self._seconds()
        axes.imshow(
            pixels.numpy(),
            aspect="auto",
            interpolation="antialiased",
            interpolation_stage="rgba",
            extent=(0.0, seconds, 0.0, 1.0),
        )

    def _seconds(self) -> float:
        count = self.sample.amounts.shape[1]
        rate = self.sample.labels.rate
        return count / rate if rate else float(count)

    def _draw_axes(self, axes: Axes, *, frequencies: bool, ticks: bool = True) -> None:
        from matplotlib.ticker import MaxNLocator

        if frequencies:
            found = find_ticks(len(self.sample.amounts), self.sample.labels.frequencies)
            axes.set_yticks([tick.place for tick in found], [tick.text for tick in found])
        if ticks:
            axes.xaxis.set_major_locator(MaxNLocator(6))
            axes.set_xlabel(self._time, size=7.5, color=LIGHT.quiet, labelpad=1)
        axes.tick_params(labelsize=7.5, colors=LIGHT.quiet, length=2, width=0.6)

    @property
    def _time(self) -> str:
        return "seconds" if self.sample.labels.rate else "entry"

    def _draw_sums(self, region: Region, left: float, width: float) -> None:
        """Draw the sums over frequencies and over time, each with colours of its own."""
        top = _HEIGHT + _BETWEEN
        below = self._plane(region.part(left, top, width, _STRIP))
        self._show_sums(below, self.amounts.sum(0)[None])
        self._draw_axes(below, frequencies=False)
        beside = self._plane(region.part(left + width + _BETWEEN, 0, _STRIP, _HEIGHT))
        self._show_sums(beside, self.amounts.sum(1)[:, None])

    def _show_sums(self, axes: Axes, sums: Tensor) -> None:
        self._show(axes, self._colours(sums, None, float(sums.abs().max()) or 1.0))

    def _captions(self) -> list[str]:
        values = self._values()
        found = [] if values is None else [darkness(values)[1]]
        if self.limit.is_cut or not self.bar:
            found.append(self.limit.text())
        return ["; ".join(found)] if found else []

    def _draw_below(self, region: Region) -> None:
        y = _HEIGHT + _BETWEEN + _STRIP + _BELOW
        for caption in self._captions():
            sheet = region.part(_LEFT, y, region.width - _LEFT, _CAPTION).sheet()
            write(sheet, 0, 0.06, caption, color=LIGHT.quiet, size=7.5)
            y += _CAPTION
        if self.bar:
            draw_bar(region.part(_LEFT, y, 3.0, BAR_HEIGHT), self.limit, self.look)
