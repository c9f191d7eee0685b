"""Read images: of pillow, arrays, files and folders of files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...boundary.media import read_image, upright
from ...errors import InputError
from ..batch import Sample
from ..home import is_from, load_library
from .files import find_files, flat, is_path, refuse_url

if TYPE_CHECKING:
    from PIL.Image import Image

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".gif")


def holds_pictures(data: Any) -> bool:
    """Return whether data are images of pillow, or paths of image files."""
    return all(is_from(each, "PIL.Image.Image") or is_path(each, ENDINGS) for each in flat(data))


def picture_samples(data: Any) -> list[Sample]:
    """Return one sample per image; files are not read yet.

    Raises InputError for an address, or for a folder without images.
    """
    found: list[Sample] = []
    for each in flat(data):
        refuse_url(each)
        if isinstance(each, (str, Path)):
            found += find_files(each, ENDINGS, "image")
        else:
            found.append(Sample(each))
    return found


def open_pictures(samples: Sequence[Sample]) -> list[Image]:
    """Return samples as images of pillow, in RGB unless they are grey.

    Raises InputError for what is no image, or too large a one.
    """
    return [_open(sample.value) for sample in samples]


def _open(thing: Any) -> Image:
    if isinstance(thing, Path):
        return read_image(thing)
    if is_from(thing, "PIL.Image.Image"):
        return upright(thing)
    array = np.asarray(thing)
    if array.dtype == np.uint8 and (array.ndim == 2 or array.shape[-1:] in ((3,), (4,))):
        pillow = load_library("PIL.Image", "pillow", "reading images")
        return upright(pillow.fromarray(array))
    raise InputError(
        f"an image is one of pillow, a file, or an array of bytes (height, width, 3), not a"
        f" {type(thing).__name__} of shape {array.shape}"
    )
