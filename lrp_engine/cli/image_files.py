"""Read image files into one tensor (samples, channels, height, width)."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..boundary.reading import reading
from ..bring.data.files import find_files
from ..checks.config import ImageOptions
from ..errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

_MOST_PIXELS = 1 << 27
ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".webp")


def is_image(path: Path) -> bool:
    """Return True if a path has the ending of an image file."""
    return path.suffix.lower() in ENDINGS


def read_images(path: Path, options: ImageOptions) -> Tensor:
    """Read one file, or all images of a folder with its subfolders, in the order of their paths.

    Returns:
        A tensor (samples, channels, height, width) in [0, 1] before `mean` and `std` are applied.

    Raises:
        InputError: there are no images, one cannot be read, or their sizes differ.
    """
    files = [sample.value for sample in find_files(path, ENDINGS, "image")]
    images = [_read(file, options) for file in files]
    for file, image in zip(files, images, strict=True):
        if image.shape != images[0].shape:
            raise InputError(
                f"{file.name} gives {tuple(image.shape)}, {files[0].name} {tuple(images[0].shape)}:"
                " set images.size (and images.mode) in the file of checks"
            )
    batch = torch.stack(images)
    for values, scale in ((options.mean, Tensor.sub), (options.std, Tensor.div)):
        if values:
            batch = scale(batch, _per_channel(values, batch))
    return batch


def _read(file: Path, options: ImageOptions) -> Tensor:
    pillow = _pillow()
    with reading(file, what="an image"), pillow.open(file) as opened:
        _refuse_large(opened)
        image: Image = opened.convert(options.mode or ("L" if _is_grey(opened) else "RGB"))
        if options.size is not None:
            height, width = options.size
            image = image.resize((width, height), pillow.Resampling.BICUBIC)
        flat = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
        return flat.view(image.height, image.width, -1).permute(2, 0, 1).float() / 255


def _refuse_large(image: Image) -> None:
    """Refuse an image that expands to far more than its file: pillow itself only warns."""
    if image.width * image.height > _MOST_PIXELS:
        raise ValueError(f"it has {image.width} by {image.height} pixels")


def _is_grey(image: Image) -> bool:
    return image.mode in ("1", "L", "LA", "I", "I;16", "F")


def _per_channel(values: tuple[float, ...], batch: Tensor) -> Tensor:
    if len(values) not in (1, batch.shape[1]):
        raise InputError(f"{len(values)} numbers for {batch.shape[1]} channels of the images")
    return torch.tensor(values).view(1, -1, 1, 1)


def _pillow() -> ModuleType:
    try:
        from PIL import Image as pillow
    except ImportError as error:
        raise InputError(
            "images need pillow, which is not installed: pip install pillow"
        ) from error
    return pillow
