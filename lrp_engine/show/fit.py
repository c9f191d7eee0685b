"""Check that labels fit the source that they speak of."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor

from ..errors import InputError
from .axes import Axis
from .labels import SourceLabels


def require_fit(labels: SourceLabels, name: str, relevance: Tensor) -> None:
    """Require that axes, names of features and rate can be those of a source.

    Args:
        labels: What is said of the source.
        name: The source's name.
        relevance: The source's; its shape is what labels have to fit.

    Raises:
        InputError: Something does not fit.
    """
    _require_axes(labels.axes, name, relevance)
    _require_names(labels, name, relevance)
    if labels.rate is not None and not labels.rate > 0:
        raise InputError(f"rate={labels.rate:g}: entries per second are a number above 0")
    _require_frequencies(labels, relevance)
    if labels.data is not None and labels.data.shape != relevance.shape:
        raise InputError(
            f"data of source {name!r} have the shape {tuple(labels.data.shape)}, not that of the"
            f" source, {tuple(relevance.shape)}"
        )


def _require_axes(axes: tuple[Axis, ...], name: str, relevance: Tensor) -> None:
    if not axes:
        return
    if len(axes) != relevance.dim():
        raise InputError(
            f"source {name!r} has the shape {tuple(relevance.shape)}: {relevance.dim()} axes, but"
            f" {len(axes)} were named: {' '.join(map(str, axes))}"
        )
    if axes[0] is not Axis.BATCH:
        raise InputError(f"the first axis of source {name!r} is the batch, not {axes[0]}")


def _require_names(labels: SourceLabels, name: str, relevance: Tensor) -> None:
    """Require a name per feature; channels of a series may be named so, too."""
    count = len(labels.feature_names)
    if not count:
        return
    named = [axis for axis in (Axis.FEATURE, Axis.CHANNEL) if axis in labels.axes]
    sizes = [relevance.shape[labels.axes.index(axis)] for axis in named[:1]]
    if count not in (sizes or relevance.shape[1:]):
        raise InputError(
            f"{count} features are named, and source {name!r} has the shape"
            f" {tuple(relevance.shape)}: give a name for each"
        )


def _require_frequencies(labels: SourceLabels, relevance: Tensor) -> None:
    """Require a frequency per row, in order."""
    found = labels.frequencies
    if not found:
        return
    if Axis.FREQUENCY not in labels.axes:
        raise InputError('frequencies need an axis: say axes="batch frequency time" as well')
    rows = relevance.shape[labels.axes.index(Axis.FREQUENCY)]
    if len(found) != rows:
        raise InputError(f"{len(found)} frequencies were given for {rows} rows: give one per row")
    steps = [b - a for a, b in pairwise(found)]
    if not (all(step > 0 for step in steps) or all(step < 0 for step in steps)):
        raise InputError("frequencies must rise from row to row, or fall")
