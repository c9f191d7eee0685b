"""Write images: in their true colours, and pale below the map of relevance."""

from __future__ import annotations

from ...markup import Markup, element, join
from ..limits import limit_of_plane
from .heat_map import pool, shrink, strongest, write_image, write_map
from .legend import write_legend
from .source import SourceView

_STRETCHED = "stretched to the range from 0 to 1, not true colours"


def write_images(view: SourceView) -> Markup:
    """Write the image, the map, and where its colours end."""
    plane, step = pool(view.own, view.room.pixels)
    limit = limit_of_plane(plane)
    alt = f"Heat map for {view.about}: {strongest(plane)}"
    remarks = [limit.text(), "own scale"]
    if step > 1:
        remarks.append(f"cell = {step}×{step} pixels, summed")
    cards, image = [], None
    if view.image is not None:
        image, true_colours = view.image
        image = shrink(image, step) if image.shape[-2:] == view.own.shape else image
        cards.append(write_image(image, f"The image that was explained, {view.name}"))
        remarks += [] if true_colours else [_STRETCHED]
    cards.append(write_map(plane, limit.end, alt, image))
    caption = element("figcaption", "; ".join(remarks))
    return join(
        [
            element("figure", element("div", *cards, class_="row"), caption),
            write_legend(limit.end, view.unit),
        ]
    )
