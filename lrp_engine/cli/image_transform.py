"""Make tensors of images as the options of the command line say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class ImageTransform:
    """Resizes an image, brings it to the range from 0 to 1, subtracts `mean`, divides by `std`.

    Args:
        size: (height, width); None: as it is.
        mean: One number, or one per channel.
        std: The same.
        channels: 1 makes images grey, 3 coloured; None: as they are.
    """

    size: tuple[int, int] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    channels: int | None = None

    def __call__(self, image: Image) -> Tensor:
        """Return a tensor (channels, height, width). Raises InputError if numbers do not fit."""
        from PIL import Image as pillow

        grey = image.mode != "RGB" if self.channels is None else self.channels == 1
        image = image.convert("L" if grey else "RGB")
        if self.size is not None:
            image = image.resize(self.size[::-1], pillow.Resampling.BICUBIC)
        flat = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
        tensor = flat.view(image.height, image.width, -1).permute(2, 0, 1).float() / 255
        return (tensor - _column(self.mean, tensor, 0.0)) / _column(self.std, tensor, 1.0)


def _column(numbers: tuple[float, ...] | None, image: Tensor, default: float) -> Tensor:
    found = numbers or (default,)
    if len(found) not in (1, len(image)):
        raise InputError(f"{len(found)} numbers for {len(image)} channels of the images")
    return torch.tensor(found).view(-1, 1, 1)
