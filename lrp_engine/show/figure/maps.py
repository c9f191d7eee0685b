"""Draw maps of images: over a pale copy of the image, over the image itself, or alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from ...errors import InputError
from ..axes import Axis
from ..colours import LIGHT
from ..images import stretched
from ..kinds import sum_to
from ..limits import Limit
from .bar import BAR_HEIGHT, draw_bar, frame
from .look import Look, Overlay, View
from .outline import draw_outline
from .region import Region, cut, wrap, write
from .sample import Sample

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_PIXELS = 512
_PALEST = 0.82  # of the ghost's luminance, which ends at 1
_SIDE, _GAP = 3.0, 0.14
_OPAQUE = 0.7
_CAPTION = 7
_OUTLINED = 64  # pixels a side up to which an image is an outline, not a ghost


def pooled(plane: Tensor) -> tuple[Tensor, int]:
    """Return a plane (height, width) summed over cells of at most 512 a side, and their size."""
    step = -(-max(plane.shape) // _MOST_PIXELS)
    if step == 1:
        return plane, 1
    found = avg_pool2d(plane[None, None], step, ceil_mode=True, divisor_override=1)
    return found[0, 0], step


@dataclass(frozen=True)
class Photograph:
    """An image (channels, height, width) from 0 to 1, and whether its colours are the true ones."""

    pixels: Tensor
    true_colours: bool

    def fit(self, plane: Tensor) -> Tensor:
        """Return the image with the size of a map: averaged if larger, enlarged if smaller.

        Raises:
            InputError: Image and map have other proportions.
        """
        height, width = plane.shape
        rows, columns = self.pixels.shape[-2:]
        if abs(rows * width - columns * height) > 0.02 * rows * width:
            raise InputError(
                f"an image of {rows}×{columns} pixels does not lie over a map of {height}×{width}:"
                " give the image as the model saw it, resized and cropped"
            )
        larger = rows > height
        mode = {"mode": "area"} if larger else {"mode": "nearest"}
        return interpolate(self.pixels[None].float(), size=(height, width), **mode)[0]  # type: ignore[arg-type]


def photograph_of(sample: Sample) -> Photograph | None:
    """Return the image of a sample: the one that was given, or what the model was given.

    Values that are not between 0 and 1 are stretched, and their colours are not true then.
    """
    if sample.labels.images:
        return Photograph(sample.labels.images[0], sample.labels.true_colours)
    if sample.data is None:
        return None
    kept = (Axis.CHANNEL, Axis.HEIGHT, Axis.WIDTH)
    data = sum_to(sample.data, sample.axes, [axis for axis in kept if axis in sample.axes])
    data = data if data.dim() == 3 else data[None]
    if len(data) not in (1, 3):
        return None
    true = float(data.min()) >= 0 and float(data.max()) <= 1
    return Photograph(data if true else stretched(data), true)


def luminance(image: Tensor) -> Tensor:
    """Return how bright an image (channels, height, width) is, (height, width), from 0 to 1."""
    if len(image) != 3:
        return image[0].clamp(0, 1)
    weights = image.new_tensor([0.2126, 0.7152, 0.0722]).reshape(3, 1, 1)
    return (image * weights).sum(0).clamp(0, 1)


@dataclass(frozen=True)
class MapPanel:
    """The image and its map side by side, with the bar of colours below.

    Args:
        sample: What is shown.
        look: Of the picture.
        limit: Where the colours end.
        bar: False leaves the bar out.
        view: Of image and map, what is shown.
        side: Of the larger of the two sides, in inches.
        captions: False leaves the lines below the map out.
    """

    sample: Sample
    look: Look
    limit: Limit
    bar: bool = True
    view: View = View.BOTH
    side: float = _SIDE
    captions: bool = True

    @property
    def shows_image(self) -> bool:
        """True if the image stands beside its map."""
        return self.view is not View.MAP and photograph_of(self.sample) is not None

    @property
    def width(self) -> float:
        """The width in inches."""
        size = self._size()[1]
        both = self.shows_image and self.view is View.BOTH
        return max(size * 2 + _GAP if both else size, 1.0)

    def height(self, width: float) -> float:
        """Return the height in inches."""
        return self._size()[0] + 0.04 + 0.17 * len(self._captions()) + BAR_HEIGHT * self.bar

    def draw(self, region: Region) -> None:
        """Draw image, map, captions and bar."""
        height, width = self._size()
        left = 0.0
        if self.shows_image:
            draw_photograph(region.part(0, 0, width, height).axes(), photograph_of(self.sample))
            left = width + _GAP
        if self.view is View.IMAGE:
            return
        self.draw_map(region.part(left, 0, width, height).axes())
        y = height + 0.04
        for caption in self._captions():
            sheet = region.part(left, y, width, 0.17).sheet()
            write(sheet, 0, 0.08, cut(caption, width, _CAPTION), color=LIGHT.quiet, size=_CAPTION)
            y += 0.17
        if self.bar:
            bar = region.part(left, y + 0.02, max(width, min(region.width - left, 2.2)), 0.38)
            draw_bar(bar, self.limit, self.look)

    def draw_map(self, axes: Axes) -> None:
        """Draw the map alone."""
        plane, _ = self._plane()
        photograph = photograph_of(self.sample)
        outlined = self.look.overlay is Overlay.GHOST and max(plane.shape) <= _OUTLINED
        below = None if outlined else photograph
        pixels = coloured(plane, self.limit.end, self.look, below)
        axes.imshow(pixels.numpy(), interpolation="nearest", aspect="auto")
        if outlined and photograph is not None:
            draw_outline(axes, luminance(photograph.fit(plane)).numpy())
        if self.look.contour:
            _contour(axes, plane, self.limit.end)
        frame(axes)

    def _plane(self) -> tuple[Tensor, int]:
        return pooled(self.sample.amounts)

    def _size(self) -> tuple[float, float]:
        """Return height and width of image and map, in inches."""
        rows, columns = self.sample.amounts.shape
        longest = max(rows, columns)
        return max(0.2, self.side * rows / longest), max(0.2, self.side * columns / longest)

    def _captions(self) -> list[str]:
        if not self.captions or self.view is View.IMAGE:
            return []
        step, photograph = self._plane()[1], photograph_of(self.sample)
        found = [self.limit.text()] if self.limit.is_cut or not self.bar else []
        if photograph is not None and not photograph.true_colours:
            found.append("the image is stretched: not its true colours")
        if step > 1:
            found.append(f"cell = {step}×{step} pixels")
        width = self._size()[1]
        return [line for said in found for line in wrap(said, width, _CAPTION)]


def coloured(plane: Tensor, limit: float, look: Look, photograph: Photograph | None) -> Tensor:
    """Return the pixels of a map, (height, width, 3) from 0 to 1.

    Args:
        plane: Relevance, (height, width).
        limit: Where the colours end.
        look: Of the picture.
        photograph: Of what is below; None: nothing.
    """
    amounts = plane.abs() if look.absolute else plane
    places = ((amounts / limit).clamp(-1, 1) + 1) / 2
    colours = torch.from_numpy(look.colours()(places.numpy()))[..., :3]
    if photograph is None or look.overlay is Overlay.BESIDE:
        return colours
    image = photograph.fit(plane).double()
    if look.overlay is Overlay.GHOST:
        pale = _PALEST + (1 - _PALEST) * luminance(image)
        return colours * pale[..., None]
    opacity = _OPAQUE * (amounts.abs() / limit).clamp(0, 1)[..., None]
    below = image.expand(3, -1, -1).permute(1, 2, 0)
    return below * (1 - opacity) + colours * opacity


def draw_photograph(axes: Axes, photograph: Photograph | None) -> None:
    """Draw an image in its true colours."""
    if photograph is not None:
        pixels = (
            photograph.pixels.expand(3, -1, -1)
            if len(photograph.pixels) == 1
            else (photograph.pixels)
        )
        axes.imshow(
            pixels.permute(1, 2, 0).clamp(0, 1).numpy(), interpolation="nearest", aspect="auto"
        )
    frame(axes)


def _contour(axes: Axes, plane: Tensor, limit: float) -> None:
    """Draw lines at half the limit; matplotlib dashes those of negative numbers."""
    values = plane.numpy()
    levels = [level for level in (-limit / 2, limit / 2) if np.abs(values).max() > limit / 2]
    inside = [x for x in levels if values.min() < x < values.max()]
    if inside:
        styles = ["dashed" if x < 0 else "solid" for x in inside]
        axes.contour(values, levels=inside, colors=LIGHT.ink, linewidths=0.8, linestyles=styles)
