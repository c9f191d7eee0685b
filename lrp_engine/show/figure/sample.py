"""Define what a picture shows: one source of one sample."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...errors import InputError
from ..axes import Axis
from ..kinds import SHOWN, Kind, axes_of, kind_of, sum_to
from ..labels import SourceLabels


@dataclass(frozen=True)
class Sample:
    """One source of one sample.

    Args:
        name: Of the source.
        relevance: Without the axis of the batch.
        axes: What its axes run over.
        labels: Of the source; what they hold per sample, they hold for this one alone.
        kind: Of the picture.
    """

    name: str
    relevance: Tensor
    axes: tuple[Axis, ...]
    labels: SourceLabels
    kind: Kind

    @property
    def amounts(self) -> Tensor:
        """Relevance summed over all axes but those that the picture shows."""
        return sum_to(self.relevance, self.axes, SHOWN[self.kind])

    @property
    def data(self) -> Tensor | None:
        """Return what the model was given, with the axes of `relevance`; None if it is unknown."""
        return None if self.labels.data is None else self.labels.data[0].detach().float().cpu()


def take_sample(
    name: str, relevance: Tensor, labels: SourceLabels, index: int, kind: Kind | None = None
) -> Sample:
    """Return one sample of a source.

    Args:
        name: Of the source.
        relevance: Of the batch.
        labels: Of the source.
        index: The sample's place in the batch.
        kind: Of the picture; None: the one that the axes speak of.

    Raises:
        InputError: There is no such sample, or the axes are unknown, or do not allow this kind.
    """
    axes = axes_of(labels, relevance)
    if not axes:
        raise InputError(_undeclared(name, relevance))
    found = kind or kind_of(axes)
    if found is Kind.NUMBERS or not set(SHOWN[found]) <= set(axes):
        raise InputError(
            f"source {name!r} has the axes {' '.join(map(str, axes))}: no picture of kind"
            f" {found.value!r} can be drawn of it"
        )
    here = slice(index, index + 1)
    amounts = relevance[index].detach().to("cpu", torch.float64)
    return Sample(name, amounts, axes[1:], labels.sample(here), found)


def one_axis(kind: Kind, relevance: Tensor) -> tuple[Axis, ...]:
    """Return the axes of a source of which a user says what kind of picture it is."""
    return _GUESSES.get((kind, relevance.dim()), ())


_TOKEN = (Axis.BATCH, Axis.TOKEN)
_IMAGE = (Axis.BATCH, Axis.HEIGHT, Axis.WIDTH)
_SPECTROGRAM = (Axis.BATCH, Axis.FREQUENCY, Axis.TIME)
# Where a kind is named and the axes are not, these are the only ones that it can mean.
_GUESSES = {
    (Kind.WORDS, 2): _TOKEN,
    (Kind.WORDS, 3): (*_TOKEN, Axis.FEATURE),
    (Kind.TABLE, 2): (Axis.BATCH, Axis.FEATURE),
    (Kind.SERIES, 2): (Axis.BATCH, Axis.TIME),
    (Kind.SERIES, 3): (Axis.BATCH, Axis.CHANNEL, Axis.TIME),
    (Kind.SPECTROGRAM, 3): _SPECTROGRAM,
    (Kind.SPECTROGRAM, 4): (Axis.BATCH, Axis.CHANNEL, *_SPECTROGRAM[1:]),
    (Kind.IMAGE, 3): _IMAGE,
    (Kind.IMAGE, 4): (Axis.BATCH, Axis.CHANNEL, *_IMAGE[1:]),
    (Kind.VIDEO, 5): (Axis.BATCH, Axis.FRAME, Axis.CHANNEL, *_IMAGE[1:]),
}


def with_axes_of(labels: SourceLabels, kind: Kind, relevance: Tensor) -> SourceLabels:
    """Return labels with the axes that a kind means, if none were declared."""
    return labels if labels.axes else replace(labels, axes=one_axis(kind, relevance))


_EXAMPLES = {
    2: ("batch feature", "batch token", "batch time"),
    3: ("batch channel time", "batch token feature", "batch height width", "batch frequency time"),
    4: ("batch channel height width", "batch height width channel"),
    5: ("batch frame channel height width", "batch channel frame height width"),
}


def _undeclared(name: str, relevance: Tensor) -> str:
    examples = _EXAMPLES.get(relevance.dim(), ("batch channel time",))
    said = " or ".join(f'axes="{example}"' for example in examples)
    return (
        f"what the axes of source {name!r}, shape {tuple(relevance.shape)}, run over is not known,"
        f" so any picture would be a guess: say plot({said}), or --axes on the command line"
    )
