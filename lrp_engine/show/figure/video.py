"""Draw videos: a bar per frame, and the frames of most relevance."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor

from ...markup.numbers import signed
from ..axes import Axis
from ..colours import LIGHT
from ..kinds import Kind
from ..limits import Limit, limit_of_plane
from .bar import BAR_HEIGHT, draw_bar
from .look import Look, View
from .maps import MapPanel
from .region import Region, write
from .sample import Sample

_FRAMES, _COLUMNS = 8, 4
_BARS, _SIDE, _GAP, _TITLE = 0.75, 1.7, 0.14, 0.22


@dataclass(frozen=True)
class VideoPanel:
    """A bar per frame, then 8 frames of most |R| in the order of time, with one scale."""

    sample: Sample
    look: Look
    limit: Limit
    bar: bool = True

    width: ClassVar[float] = _COLUMNS * _SIDE + (_COLUMNS - 1) * _GAP

    def _chosen(self) -> list[int]:
        sizes = self.sample.amounts.abs().sum((-1, -2))
        most = min(len(sizes), self.look.top or _FRAMES)
        return sorted(sizes.topk(most).indices.tolist())

    def _frame(self, index: int) -> MapPanel:
        axis = self.sample.axes.index(Axis.FRAME)
        data, images = self.sample.labels.data, self.sample.labels.images
        labels = replace(
            self.sample.labels,
            data=None if data is None else data.select(axis + 1, index),
            images=(_frame_of(images[0], index),) if images else (),
        )
        axes = tuple(a for a in self.sample.axes if a is not Axis.FRAME)
        relevance = self.sample.relevance.select(axis, index)
        frame = Sample(self.sample.name, relevance, axes, labels, Kind.IMAGE)
        return MapPanel(
            frame, self.look, self.limit, bar=False, view=View.MAP, side=_SIDE, captions=False
        )

    def _cell(self) -> float:
        return _TITLE + _SIDE * min(
            1.0, self.sample.amounts.shape[-2] / self.sample.amounts.shape[-1]
        )

    def height(self, width: float) -> float:
        """Return the height in inches."""
        rows = -(-len(self._chosen()) // _COLUMNS)
        return _BARS + 0.4 + rows * (self._cell() + 0.08) + BAR_HEIGHT * self.bar

    def draw(self, region: Region) -> None:
        """Draw bars, frames and the bar of colours."""
        chosen = self._chosen()
        self._draw_bars(region.part(0.5, 0, region.width - 0.5, _BARS), chosen)
        top = _BARS + 0.4
        for place, index in enumerate(chosen):
            row, column = divmod(place, _COLUMNS)
            x, y = column * (_SIDE + _GAP), top + row * (self._cell() + 0.08)
            panel = self._frame(index)
            total = float(self.sample.amounts[index].sum())
            write(
                region.part(x, y, _SIDE, _TITLE).sheet(), 0, 0.1, f"frame {index}  {signed(total)}"
            )
            panel.draw(region.part(x, y + _TITLE, _SIDE, self._cell() - _TITLE))
        if self.bar:
            rows = -(-len(chosen) // _COLUMNS)
            y = top + rows * (self._cell() + 0.08) + 0.02
            draw_bar(region.part(0, y, 3.0, BAR_HEIGHT), self.limit, self.look)
        if self.limit.is_cut:
            beside = region.part(3.3, region.height - BAR_HEIGHT, region.width - 3.3, 0.2).sheet()
            write(beside, 0, 0.08, self.limit.text(), color=LIGHT.quiet, size=7.5)

    def _draw_bars(self, region: Region, chosen: list[int]) -> None:
        totals = self.sample.amounts.sum((-1, -2))
        axes = region.axes()
        colours = [LIGHT.speaks_for if t >= 0 else LIGHT.speaks_against for t in totals.tolist()]
        axes.bar(range(len(totals)), totals.tolist(), color=colours, width=0.7)
        axes.axhline(0, color=LIGHT.quiet, linewidth=0.6)
        axes.set_xticks(chosen, [str(i) for i in chosen])
        axes.locator_params(axis="y", nbins=3)
        axes.tick_params(labelsize=7.5, colors=LIGHT.quiet, length=2, width=0.6)
        axes.set_xlabel("frame", size=7.5, color=LIGHT.quiet, labelpad=1)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)


def _frame_of(image: Tensor, index: int) -> Tensor:
    return image[index] if image.dim() == 4 else image


def limit_of_video(sample: Sample, clip: float) -> Limit:
    """Return where the colours of all frames end."""
    return limit_of_plane(sample.amounts, clip)
