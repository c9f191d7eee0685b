"""Write image maps as PNG: in colours alone, or over a pale copy of the image."""

from __future__ import annotations

import numpy as np
from torch import Tensor
from torch.nn.functional import avg_pool2d

from ...markup import Markup, element
from .palette import ghost_palette, levels, map_palette
from .png import colour_png, data_uri, palette_png

_SHOWN = 256  # pixels on the screen that small maps are enlarged to
_COLOURS, _TONES = 51, 5  # of the map, and of the pale image: together a palette of 255


def pool(plane: Tensor, most: int) -> tuple[Tensor, int]:
    """Return a plane (height, width) summed over cells, so that it has at most so many a side.

    The second number is the cells' side.
    """
    step = -(-max(plane.shape) // most)
    if step == 1:
        return plane, 1
    pooled = avg_pool2d(plane[None, None], step, ceil_mode=True, divisor_override=1)
    return pooled[0, 0], step


def write_map(plane: Tensor, limit: float, alt: str, image: Tensor | None = None) -> Markup:
    """Write a map on a white card.

    Args:
        plane: Relevance, (height, width), pooled.
        limit: Where the colours end.
        alt: What the map shows, in words.
        image: The image below, (channels, height, width) from 0 to 1; None: white.
    """
    if image is None or image.shape[-2:] != plane.shape:
        png = palette_png(levels(plane, limit, 255), map_palette(255))
    else:
        tones = (_luminance(image) * (_TONES - 1)).round().numpy().astype(np.uint8)
        png = palette_png(
            levels(plane, limit, _COLOURS) * np.uint8(_TONES) + tones,
            ghost_palette(_COLOURS, _TONES),
        )
    return write_card(png, plane.shape[0], plane.shape[1], alt)


def write_image(image: Tensor, alt: str) -> Markup:
    """Write an image (channels, height, width) from 0 to 1 in its true colours."""
    pixels = (image.clamp(0, 1) * 255).round().numpy().astype(np.uint8).transpose(1, 2, 0)
    png = colour_png(np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3))))
    return write_card(png, pixels.shape[0], pixels.shape[1], alt)


def shrink(image: Tensor, step: int) -> Tensor:
    """Return an image averaged over the cells that `pool` made."""
    return image if step == 1 else avg_pool2d(image[None], step, ceil_mode=True)[0]


def write_card(png: bytes, height: int, width: int, alt: str) -> Markup:
    """Write a picture, enlarged by a whole number if it is small."""
    times = max(1, _SHOWN // max(height, width))
    img = element("img", src=data_uri(png), alt=alt, width=width * times, height=height * times)
    return element("span", img, class_="card")


def strongest(plane: Tensor) -> str:
    """Return in words where a plane is strongest: for, and against."""
    said = []
    for sign, word in ((1.0, "for"), (-1.0, "against")):
        place = int((plane * sign).argmax())
        row, column = divmod(place, plane.shape[1])
        if float(plane[row, column]) * sign > 0:
            said.append(f"most {word} at row {row}, column {column}")
    return "; ".join(said) or "zero everywhere"


def _luminance(image: Tensor) -> Tensor:
    """Return (height, width) from 0 to 1."""
    if len(image) != 3:
        return image[0].clamp(0, 1)
    weights = image.new_tensor([0.2126, 0.7152, 0.0722]).reshape(3, 1, 1)
    return (image * weights).sum(0).clamp(0, 1)
