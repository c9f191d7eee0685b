"""Read images and sound from files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .reading import reading

if TYPE_CHECKING:
    from PIL.Image import Image

_MOST_PIXELS = 1 << 27


def read_image(path: Path) -> Image:
    """Return an image file, upright, in RGB unless it is grey.

    Raises InputError for what is no image, one that expands to far more than its file, or if pillow
    is missing.
    """
    try:
        import PIL.Image as pillow
    except ImportError as error:
        raise InputError(
            "images need pillow, which is not installed: pip install pillow"
        ) from error
    with reading(path, what="an image"), pillow.open(path) as opened:
        if opened.width * opened.height > _MOST_PIXELS:  # pillow itself only warns
            raise ValueError(f"it has {opened.width} by {opened.height} pixels")
        return upright(opened)


def upright(image: Image) -> Image:
    """Return an image as a camera held it, in RGB unless it is grey."""
    from PIL import ImageOps

    turned: Image = ImageOps.exif_transpose(image)
    return turned.copy() if turned.mode in ("1", "L", "I;16", "F") else turned.convert("RGB")


def read_wav(path: Path) -> tuple[int, NDArray[Any]]:
    """Return samples per second, and (samples,) or (samples, channels); raise InputError."""
    from scipy.io import wavfile

    with reading(path, what="a .wav file"):
        rate, wave = wavfile.read(path)
    return int(rate), np.asarray(wave)


def read_compressed(path: Path) -> tuple[int, NDArray[Any]]:
    """Return samples per second, and (samples,) or (samples, channels) of a .flac, .ogg or .mp3.

    Raises InputError for a damaged file, or without soundfile.
    """
    try:
        import soundfile
    except (ImportError, OSError) as error:  # OSError: its library of C is missing
        raise InputError(
            f"{path}: reading {path.suffix} files needs soundfile: pip install soundfile"
        ) from error
    with reading(path, what=f"a {path.suffix} file"):
        wave, rate = soundfile.read(str(path), dtype="float32")
    return int(rate), np.asarray(wave)
