"""Put what a user says of an explanation into labels, and check that it fits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from torch import Tensor

from ..errors import InputError, suggest
from .axes import Axis, parse_axes
from .fit import require_fit
from .images import Shift, as_images
from .labels import Labels, SourceLabels
from .pieces import Piece, pieces_of


@dataclass(frozen=True)
class SourceWords:
    """Hold what a user said of one source; None: nothing."""

    axes: str | Sequence[str | Axis] | None = None
    words: Sequence[Any] | None = None
    images: Any = None
    mean: Sequence[float] | float | None = None
    std: Sequence[float] | float | None = None
    feature_names: Sequence[str] | None = None
    feature_values: Sequence[Any] | None = None
    rate: float | None = None
    frequencies: Sequence[float] | None = None
    data: Tensor | None = None

    @property
    def is_empty(self) -> bool:
        """True if nothing was said."""
        return all(value is None for value in vars(self).values())


def label_source(labels: Labels, name: str, relevance: Tensor, said: SourceWords) -> Labels:
    """Return labels with what was said of a source.

    Args:
        labels: What was known before.
        name: The source's.
        relevance: The source's; its shape is what everything has to fit.
        said: What was said.

    Raises:
        InputError: Something does not fit the source.
    """
    known = labels.of(name)
    if said.axes is not None:
        known = replace(known, axes=_axes_of(said.axes, relevance))
    if said.words is not None:
        known = replace(known, words=_words_of(said.words, name, relevance))
    if said.images is not None or said.mean is not None:
        known = _with_images(known, name, relevance, said)
    if said.feature_names is not None:
        known = replace(known, feature_names=_texts(said.feature_names))
    if said.feature_values is not None:
        known = replace(known, feature_values=_values_of(said.feature_values, name, relevance))
    if said.rate is not None:
        known = replace(known, rate=float(said.rate))
    if said.frequencies is not None:
        known = replace(known, frequencies=tuple(map(float, said.frequencies)))
    if said.data is not None:
        known = replace(known, data=said.data.detach())
    require_fit(known, name, relevance)
    return labels.with_source(name, known)


def read_source_words(said: Mapping[str, Any]) -> SourceWords:
    """Return what was said of a source. Raises InputError for an unknown name."""
    known = [f.name for f in fields(SourceWords)]
    for name in said:
        if name not in known:
            raise InputError(f"with_labels knows no {name!r}{suggest(name, known)}")
    return SourceWords(**said)


def label_all(
    labels: Labels,
    count: int,
    *,
    class_names: Sequence[str] | Mapping[int, str] | None,
    samples: Sequence[str] | None,
    truth: Sequence[Any] | None,
    title: str | None,
    unit: str | None,
) -> Labels:
    """Return labels with what was said of `count` samples and their classes; None: nothing.

    Raises:
        InputError: There is another number of samples.
    """
    if class_names is not None:
        labels = replace(labels, class_names=names_of_classes(class_names))
    if samples is not None:
        labels = replace(labels, samples=per_sample(samples, count, "names of samples"))
    if truth is not None:
        labels = replace(labels, truth=per_sample(truth, count, "true classes"))
    if title is not None:
        labels = replace(labels, title=title)
    return labels if unit is None else replace(labels, unit=unit)


def names_of_classes(names: Sequence[str] | Mapping[int, str]) -> tuple[str, ...]:
    """Return class names in the order of the classes: of a list, or of {index: name}."""
    if isinstance(names, Mapping):
        by_index = {int(index): str(name) for index, name in names.items()}
        return tuple(by_index.get(i, f"class {i}") for i in range(max(by_index, default=-1) + 1))
    return _texts(names)


def per_sample(given: Sequence[Any], samples: int, what: str) -> tuple[str, ...]:
    """Return one text per sample. Raises InputError if there is another number of them."""
    texts = _texts(given)
    require_one_each(len(texts), samples, what)
    return texts


def require_one_each(given: int, samples: int, what: str) -> None:
    """Raise InputError unless there is one entry per sample."""
    if given != samples:
        raise InputError(f"{what}: one entry per sample is needed, {samples}, not {given}")


def _texts(given: Sequence[Any]) -> tuple[str, ...]:
    if isinstance(given, str):
        raise InputError(f"a list of texts is needed, not the one text {given!r}")
    return tuple(map(str, given))


def _axes_of(axes: str | Sequence[str | Axis], relevance: Tensor) -> tuple[Axis, ...]:
    found = parse_axes(axes)
    lacks_batch = len(found) == relevance.dim() - 1 and Axis.BATCH not in found
    return (Axis.BATCH, *found) if lacks_batch else found


def _words_of(words: Sequence[Any], name: str, relevance: Tensor) -> tuple[tuple[Piece, ...], ...]:
    samples = len(relevance)
    if samples == 1 and words and isinstance(words[0], (str, Piece)):
        words = [words]
    require_one_each(len(words), samples, f"words of source {name!r}")
    found = tuple(pieces_of(of_sample) for of_sample in words)
    counts = {len(of_sample) for of_sample in found}
    if relevance.dim() > 1 and counts and not counts <= set(relevance.shape[1:]):
        raise InputError(
            f"words of source {name!r}: {min(counts)} to {max(counts)} tokens per sample for the"
            f" shape {tuple(relevance.shape)}: give one per position, padding included"
        )
    return found


def _values_of(given: Sequence[Any], name: str, relevance: Tensor) -> tuple[tuple[str, ...], ...]:
    require_one_each(len(given), len(relevance), f"feature values of source {name!r}")
    return tuple(tuple(_value_text(value) for value in of_sample) for of_sample in given)


def _value_text(value: Any) -> str:
    number = value.item() if hasattr(value, "item") else value
    return f"{number:.4g}" if isinstance(number, float) else str(number)


def _with_images(
    known: SourceLabels, name: str, relevance: Tensor, said: SourceWords
) -> SourceLabels:
    shift = None if said.mean is None or said.std is None else Shift.of(said.mean, said.std)
    if (said.mean is None) != (said.std is None):
        raise InputError("mean and std of images belong together: give both")
    given = known.data if said.images is None else said.images
    if given is None:
        raise InputError(f"mean and std were given, but no images of source {name!r}: images=...")
    images, true_colours = as_images(given, len(relevance), shift)
    return replace(known, images=images, true_colours=true_colours)
