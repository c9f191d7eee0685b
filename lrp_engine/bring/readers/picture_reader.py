"""Read images for models that take (samples, channels, height, width)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from ...boundary.user_code import calling
from ...errors import InputError
from ...show.axes import Axis
from ...show.images import Shift, as_images
from ...show.labels import SourceLabels
from ..batch import THE_SOURCE, Batch, Sample, names_of, truth_of
from ..data.pictures import open_pictures, picture_samples

IMAGE_AXES = (Axis.BATCH, Axis.CHANNEL, Axis.HEIGHT, Axis.WIDTH)
_NO_TRANSFORM = (
    "an image becomes a tensor by the transform that the model was trained with: give"
    " transform=..., such as weights.transforms() of torchvision (a function from an image of"
    " pillow to a tensor (channels, height, width))"
)


@dataclass(frozen=True)
class PictureReader:
    """Reads images by a function that makes tensors of them.

    Args:
        transform: From an image of pillow to a tensor (channels, height, width).
        shift: Mean and standard deviation that the transform brings images to, where known.
    """

    takes: ClassVar[tuple[str, ...]] = ("transform",)
    what: ClassVar[str] = "images"

    transform: Callable[[Any], Any] | None
    shift: Shift | None = None

    def samples(self, data: Any) -> Sequence[Sample]:
        """Return one sample per image; files are not read yet. Raises InputError."""
        if self.transform is None:
            raise InputError(_NO_TRANSFORM)
        return picture_samples(data)

    def read(self, samples: Sequence[Sample]) -> Batch:
        """Return images (samples, channels, height, width), and how they look.

        Raises InputError if the transform gives no tensors of one shape.
        """
        tensors = [self._apply(image) for image in open_pictures(samples)]
        shapes = {tuple(t.shape): s.name for t, s in zip(tensors, samples, strict=True)}
        if len(shapes) > 1:
            told = ", ".join(f"{shape} ({name})" for shape, name in list(shapes.items())[:2])
            raise InputError(f"images come out of the transform in several shapes: {told}")
        batch = torch.stack(tensors)
        return Batch(
            inputs=(batch,),
            sources={THE_SOURCE: label_images(batch, self.shift)},
            samples=names_of(samples),
            truth=truth_of(samples),
        )

    def _apply(self, image: Any) -> Tensor:
        assert self.transform is not None
        with calling("the transform"):
            found = self.transform(image)
        if isinstance(found, np.ndarray):
            found = torch.from_numpy(np.ascontiguousarray(found))
        if not isinstance(found, Tensor):
            raise InputError(f"the transform gives a {type(found).__name__}, not a tensor")
        found = found[0] if found.dim() == 4 and len(found) == 1 else found
        if found.dim() != 3 or not found.dtype.is_floating_point:
            raise InputError(
                "the transform gives a tensor of shape"
                f" {tuple(found.shape)}, {found.dtype}: (channels, height, width) of floats is"
                " needed"
            )
        return found


def label_images(batch: Tensor, shift: Shift | None) -> SourceLabels:
    """Return labels of images, (samples, channels, height, width), with their colours undone."""
    if batch.shape[1] not in (1, 3):
        return SourceLabels(axes=IMAGE_AXES)
    images, true_colours = as_images(batch, len(batch), shift)
    return SourceLabels(axes=IMAGE_AXES, images=images, true_colours=true_colours)


def find_shift(transform: Any) -> Shift | None:
    """Return the mean and standard deviation of a transform of torchvision's, where it has them.

    A chain of transforms has those of its last one.
    """
    for part in (transform, *reversed(list(getattr(transform, "transforms", ())))):
        mean, std = getattr(part, "mean", None), getattr(part, "std", None)
        if mean is not None and std is not None:
            return Shift.of(mean, std)
    return None
