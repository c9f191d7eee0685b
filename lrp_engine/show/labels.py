"""Say how the sources and the outputs of an explanation are to be read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from torch import Tensor

from .axes import Axis
from .pieces import Piece
from .questions import Question


@dataclass(frozen=True)
class SourceLabels:
    """Hold what is known of one source.

    Every tuple "per sample" is empty, or has one entry per sample of the batch.

    Args:
        axes: A name per axis of the source, `(Axis.BATCH, Axis.CHANNEL, ...)`; empty if undeclared.
        words: Per sample, its pieces: one `Piece` per position of the token axis.
        feature_names: A name per feature, in the order of the feature axis.
        feature_values: Per sample, the raw value of each feature as people know it ("14.2", "red").
        images: Per sample, the image to show: (channels, height, width) with 1 or 3 channels, or
            (frames, channels, height, width), floats from 0 to 1, in true colours.
        data: What the source held, of its shape; of inputs, what the model was given.
        rate: Entries of the time axis per second.
        frequencies: In Hz, one per entry of the frequency axis; they rise, or they fall.
        true_colours: False if `images` were stretched to the range from 0 to 1, for want of mean
            and std.
    """

    axes: tuple[Axis, ...] = ()
    words: tuple[tuple[Piece, ...], ...] = ()
    feature_names: tuple[str, ...] = ()
    feature_values: tuple[tuple[str, ...], ...] = ()
    images: tuple[Tensor, ...] = field(default=(), compare=False, repr=False)
    data: Tensor | None = field(default=None, compare=False, repr=False)
    rate: float | None = None
    frequencies: tuple[float, ...] = ()
    true_colours: bool = True

    def sample(self, index: slice) -> SourceLabels:
        """Return the labels of some samples."""
        return replace(
            self,
            words=self.words[index],
            feature_values=self.feature_values[index],
            images=self.images[index],
            data=None if self.data is None else self.data[index],
        )


@dataclass(frozen=True)
class Labels:
    """Hold what is known of an explanation's data and question, beside the numbers.

    Pictures, pages and tables read it; nothing is computed from it. What is unknown is empty.

    Args:
        sources: Labels by the name of the source.
        class_names: The name of each class, in their order.
        questions: Per sample, what was explained: classes and weights, position, probability.
        samples: Per sample, its name: of a file, a row, a text's beginning.
        truth: Per sample, the name of its true class.
        title: Of the data: "images", "reviews".
        unit: Of the explained number: "logit", "probability", ...; empty if unknown.
        notes: What a reader of a picture has to know, one sentence each.

    Example:
        >>> from lrp_engine.show.labels import Labels, SourceLabels
        >>> labels = Labels(sources={"x": SourceLabels(rate=16000.0)}, class_names=("yes", "no"))
        >>> labels.of("x").rate, labels.of("y").rate
        (16000.0, None)
    """

    sources: Mapping[str, SourceLabels] = field(default_factory=dict)
    class_names: tuple[str, ...] = ()
    questions: tuple[Question, ...] = ()
    samples: tuple[str, ...] = ()
    truth: tuple[str, ...] = ()
    title: str = ""
    unit: str = ""
    notes: tuple[str, ...] = ()

    def of(self, source: str) -> SourceLabels:
        """Return the labels of a source; empty ones if nothing is known of it."""
        return self.sources.get(source, SourceLabels())

    def with_source(self, source: str, labels: SourceLabels) -> Labels:
        """Return labels in which one source has these labels."""
        return replace(self, sources={**self.sources, source: labels})

    def question(self, sample: int) -> Question:
        """Return what was explained of a sample; an empty question if that is unknown."""
        return self.questions[sample] if sample < len(self.questions) else Question()

    def sample(self, index: slice) -> Labels:
        """Return the labels of some samples."""
        return replace(
            self,
            sources={name: labels.sample(index) for name, labels in self.sources.items()},
            questions=self.questions[index],
            samples=self.samples[index],
            truth=self.truth[index],
        )
