"""Hold what a page shows of one source of one sample."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from torch import Tensor

from ..axes import Axis
from ..images import as_images
from ..kinds import SHOWN, Kind, axes_of, kind_of, sum_to
from ..labels import Labels, SourceLabels
from ..pieces import Piece
from ..words import Word, words_of
from .budget import Room


@dataclass(frozen=True)
class SourceView:
    """One source of one sample.

    Args:
        name: Of the source.
        relevance: Of the whole batch, (batch, ...), on the CPU.
        labels: Of the explanation.
        sample: Its place in the batch.
        about: What was asked, for those who do not see the picture.
        room: How much may be shown.
    """

    name: str
    relevance: Tensor
    labels: Labels
    sample: int
    about: str
    room: Room = field(default_factory=Room)

    @property
    def known(self) -> SourceLabels:
        """Return what is known of the source."""
        return self.labels.of(self.name)

    @cached_property
    def axes(self) -> tuple[Axis, ...]:
        """The axes, without the batch; () if they are unknown."""
        return axes_of(self.known, self.relevance)[1:]

    @cached_property
    def kind(self) -> Kind:
        """The kind of its picture: words need their words, or they are numbers with a place."""
        return kind_of(self.axes)

    @cached_property
    def kept(self) -> tuple[Axis, ...]:
        """The axes that are shown; relevance is summed over the others."""
        shown = SHOWN.get(self.kind, ())
        channels = self.kind is Kind.SERIES and Axis.CHANNEL in self.axes
        return (Axis.CHANNEL, *shown) if channels else shown

    @cached_property
    def own(self) -> Tensor:
        """Relevance of the sample, in the shape that is shown."""
        own = self.relevance[self.sample]
        return sum_to(own, self.axes, self.kept) if self.kept else own

    @cached_property
    def data(self) -> Tensor | None:
        """The sample itself, of the source's shape; None if it is unknown."""
        data = self.known.data
        return None if data is None else data[self.sample].detach().cpu().float()

    @cached_property
    def image(self) -> tuple[Tensor, bool] | None:
        """The sample's image or frames, from 0 to 1, and whether the colours are the true ones.

        Images that were given come first, then the source itself. None if neither is an image.
        """
        if self.known.images:
            return self.known.images[self.sample].float(), self.known.true_colours
        channels = self.axes.index(Axis.CHANNEL) if Axis.CHANNEL in self.axes else None
        if self.data is None or channels is None or self.data.shape[channels] not in (1, 3):
            return None
        frames = (Axis.FRAME,) if self.kind is Kind.VIDEO else ()
        order = [self.axes.index(axis) for axis in (*frames, Axis.CHANNEL, *SHOWN[Kind.IMAGE])]
        (image,), true = as_images([self.data.permute(order)], 1)
        return image, true

    @property
    def size(self) -> float:
        """Sum of |R| over what is shown: words, or entries."""
        if self.kind is Kind.WORDS:
            return sum(abs(word.amount) for word in self.words)
        return float(self.own.abs().sum())

    @cached_property
    def words(self) -> tuple[Word, ...]:
        """The words of the sample; without words, one per position, named by its number."""
        pieces = self.known.words[self.sample] if self.known.words else ()
        amounts = self.own.tolist()
        return words_of(pieces or [Piece(str(i)) for i in range(len(amounts))], amounts)

    @property
    def unit(self) -> str:
        """The unit of relevance, with a space before it; "" if it has no name."""
        return f" {self.labels.unit}" if self.labels.unit else ""
