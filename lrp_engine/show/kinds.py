"""Say what kind of picture a source has, by its axes, and sum relevance over the others."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from torch import Tensor

from .axes import Axis
from .labels import SourceLabels


class Kind(Enum):
    """The kinds of pictures."""

    IMAGE = "image"
    VIDEO = "video"
    WORDS = "words"
    SPECTROGRAM = "spectrogram"
    SERIES = "series"
    TABLE = "table"
    NUMBERS = "numbers"  # nothing is known of the axes


_PLANE = (Axis.HEIGHT, Axis.WIDTH)
# The axes that a picture keeps, in their order; the first kind that a source has all axes of.
SHOWN: dict[Kind, tuple[Axis, ...]] = {
    Kind.VIDEO: (Axis.FRAME, *_PLANE),
    Kind.IMAGE: _PLANE,
    Kind.WORDS: (Axis.TOKEN,),
    Kind.SPECTROGRAM: (Axis.FREQUENCY, Axis.TIME),
    Kind.SERIES: (Axis.TIME,),
    Kind.TABLE: (Axis.FEATURE,),
}


def kind_of(axes: Sequence[Axis]) -> Kind:
    """Return the kind of picture of a source with these axes."""
    return next((kind for kind, shown in SHOWN.items() if set(shown) <= set(axes)), Kind.NUMBERS)


def axes_of(labels: SourceLabels, relevance: Tensor) -> tuple[Axis, ...]:
    """Return the axes of a source as declared, or as its words say; () if they are unknown.

    Args:
        labels: Of the source.
        relevance: Of the source, (batch, ...).
    """
    if labels.axes or not labels.words:
        return labels.axes
    tokens = len(labels.words[0])
    if relevance.dim() == 2 and relevance.shape[1] == tokens:
        return (Axis.BATCH, Axis.TOKEN)
    if relevance.dim() == 3 and relevance.shape[1] == tokens:
        return (Axis.BATCH, Axis.TOKEN, Axis.FEATURE)
    return ()


def sum_to(relevance: Tensor, axes: Sequence[Axis], kept: Sequence[Axis]) -> Tensor:
    """Return one sample's relevance, summed over all axes but those kept, in their order.

    Args:
        relevance: Of one sample, without the batch.
        axes: What each of its axes runs over.
        kept: The axes of the result.
    """
    gone = [i for i, axis in enumerate(axes) if axis not in kept]
    summed = relevance.sum(gone) if gone else relevance
    left = [axis for axis in axes if axis in kept]
    return summed.permute([left.index(axis) for axis in kept])
