"""Hold samples as people have them, and batches as a model takes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from ..run.target import Position
from ..show.labels import SourceLabels

THE_SOURCE = ""  # labels under this name are those of the only source, whatever it is called


@dataclass(frozen=True)
class Sample:
    """One sample as it was given: a text, an image, a row; its name; its true class if known."""

    value: Any
    name: str = ""
    truth: str = ""


@dataclass(frozen=True)
class Batch:
    """Hold what a model is called with, and how people read it.

    Args:
        inputs: A tensor, a tuple of arguments, or a mapping of keywords.
        sources: Labels by the input's name.
        samples: A name per sample.
        truth: The true class per sample; empty if unknown.
        position: Where in the output classes are meant, unless the user says otherwise.
        notes: What was done to the data that a reader of results has to know.
    """

    inputs: Any
    sources: Mapping[str, SourceLabels] = field(default_factory=dict)
    samples: tuple[str, ...] = ()
    truth: tuple[str, ...] = ()
    position: Position = None
    notes: tuple[str, ...] = ()


class Reader(Protocol):
    """Reads data of the kind that a model takes.

    Attributes:
        takes: The hints that it reads (fields of `Hints`); others are refused beside such data.
        what: The kind of data, in words.
    """

    takes: ClassVar[tuple[str, ...]]
    what: ClassVar[str]

    def samples(self, data: Any) -> Sequence[Sample]:
        """Return the samples that data consist of; large ones are not read yet."""

    def read(self, samples: Sequence[Sample]) -> Batch:
        """Return samples as the model takes them."""


def names_of(samples: Sequence[Sample]) -> tuple[str, ...]:
    """Return the names of samples; none if they have none."""
    names = tuple(sample.name for sample in samples)
    return names if any(names) else ()


def truth_of(samples: Sequence[Sample]) -> tuple[str, ...]:
    """Return the true classes of samples; none if they are unknown."""
    truth = tuple(sample.truth for sample in samples)
    return truth if any(truth) else ()


def chunks(samples: Sequence[Sample], size: int | None) -> Iterator[Sequence[Sample]]:
    """Yield samples, so many at a time; None: all at once."""
    step = size or max(1, len(samples))
    for start in range(0, len(samples), step):
        yield samples[start : start + step]
