"""Bring images of any make to one: floats from 0 to 1, channels first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError

_CHANNELS = (1, 3, 4)


@dataclass(frozen=True)
class Shift:
    """Mean and standard deviation per channel, by which images were normalised."""

    mean: Tensor
    std: Tensor

    @classmethod
    def of(cls, mean: Sequence[float] | float, std: Sequence[float] | float) -> Shift:
        """Return a shift of one number for all channels, or one per channel."""
        return cls(
            *(torch.as_tensor(n, dtype=torch.float32).reshape(-1, 1, 1) for n in (mean, std))
        )

    def undo(self, image: Tensor) -> Tensor:
        """Return an image (channels, height, width) as it was before it was normalised."""
        if len(self.mean) not in (1, image.shape[-3]):
            raise InputError(
                f"mean has {len(self.mean)} numbers for images of {image.shape[-3]} channel(s)"
            )
        return (image * self.std + self.mean).clamp(0, 1)


def as_images(
    given: Any, samples: int, shift: Shift | None = None
) -> tuple[tuple[Tensor, ...], bool]:
    """Return one image per sample, and whether the colours are the true ones.

    Args:
        given: One image per sample, as a list or a batch; or one image if there is one sample. PIL,
            numpy or torch; channels first or last; whole numbers from 0 to 255 or floats.
        samples: How many there are.
        shift: What the images were normalised by, if they were.

    Raises:
        InputError: There is another number of images, or something is no image.
    """
    parts = _split(given, samples)
    if len(parts) != samples:
        raise InputError(f"images: one per sample is needed, {samples}, not {len(parts)}")
    found = [_read(part) for part in parts]
    if shift is not None:
        return tuple(shift.undo(image) for image in found), True
    true = all(float(i.min()) >= 0 and float(i.max()) <= 1 for i in found)
    return tuple(image if true else stretched(image) for image in found), true


def _split(given: Any, samples: int) -> list[Any]:
    if isinstance(given, (list, tuple)):
        return list(given)
    shape = getattr(given, "shape", ())
    if not shape or (samples == 1 and len(shape) < 4 and shape[0] != 1):
        return [given]
    if len(shape) == 3 and shape[0] == 1 and samples == 1:
        return [given]
    return list(given)


def _read(image: Any) -> Tensor:
    """Return an image as floats, (channels, height, width) or (frames, channels, height, width)."""
    if isinstance(image, Tensor):
        array = image.detach().cpu()
    else:
        try:
            array = torch.from_numpy(np.array(image))
        except (TypeError, ValueError) as error:
            raise InputError(
                f"an image is a PIL image, an array or a tensor, not {type(image).__name__}"
            ) from error
    whole = not array.dtype.is_floating_point
    picture = array.float() / 255 if whole and array.dtype is not torch.bool else array.float()
    return _channels_first(picture)


def _channels_first(picture: Tensor) -> Tensor:
    if picture.dim() == 2:
        return picture[None]
    if picture.dim() not in (3, 4):
        raise InputError(
            f"an image has the shape (height, width), (channels, height, width) or (height, width,"
            f" channels), not {tuple(picture.shape)}"
        )
    if picture.shape[-3] in _CHANNELS:
        return picture[..., :3, :, :]
    if picture.shape[-1] in _CHANNELS:
        return picture.movedim(-1, -3)[..., :3, :, :]
    raise InputError(
        f"an image of shape {tuple(picture.shape)} has no axis of 1, 3 or 4 channels: give images="
    )


def stretched(image: Tensor) -> Tensor:
    """Return an image whose values fill the range from 0 to 1."""
    low, high = image.min(), image.max()
    return (image - low) / (high - low).clamp_min(1e-12)
