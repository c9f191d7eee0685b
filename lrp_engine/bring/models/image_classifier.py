"""Open classifiers of images of transformers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ...errors import InputError
from ...show.images import Shift
from ..batch import Reader
from ..data.files import flat
from ..data.texts import is_text
from ..hints import Hints
from ..opened import OpenedModel
from ..readers.picture_reader import PictureReader, find_shift
from .hf_parts import HfParts

_GREY: NDArray[np.uint8] = np.full((224, 224, 3), 128, dtype=np.uint8)  # an image as an example


@dataclass(frozen=True)
class Preprocess:
    """Applies an image processor of transformers to one image."""

    processor: Any

    def __call__(self, image: Any) -> Tensor:
        """Return a tensor (channels, height, width)."""
        colour = image if image.mode == "RGB" else image.convert("RGB")
        found: Tensor = self.processor(images=[colour], return_tensors="pt")["pixel_values"][0]
        return found


def open_parts(parts: HfParts, hints: Hints) -> OpenedModel:
    """Open a classifier of images with its processor, or with the transform that was given."""
    transform: Callable[[Any], Any] | None = hints.transform
    shift = find_shift(transform)
    if transform is None and parts.processor is not None:
        transform, shift = Preprocess(parts.processor), _shift_of(parts.processor)
    reader = PictureReader(transform, shift)
    return OpenedModel(
        parts.model,
        partial(_choose, reader),
        parts.class_names(hints),
        unit="logit",
        example=None if transform is None else _GREY,
        takes=("classes",),
    )


def _choose(reader: PictureReader, data: object) -> Reader:
    """Return the reader. Raises InputError for data that are obviously no images."""
    if isinstance(data, dict) or any(is_text(each) and "\n" in each for each in flat(data)):
        raise InputError(f"the model reads images, not a {type(data).__name__}")
    return reader


def _shift_of(processor: Any) -> Shift | None:
    """Return the mean and standard deviation that a processor brings images to."""
    mean, std = getattr(processor, "image_mean", None), getattr(processor, "image_std", None)
    if not getattr(processor, "do_normalize", False) or mean is None or std is None:
        return None
    return Shift.of(mean, std)
