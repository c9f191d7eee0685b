"""Draw a text as chips, one per word, in the colours of their relevance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ...errors import InputError
from ...markup.numbers import signed
from ..colours import LIGHT, Colour, colour_at, hex_code, text_on
from ..limits import Limit
from ..pieces import Piece
from ..words import Word, limit_of_words, remark_on_specials, words_of
from .bar import BAR_HEIGHT, draw_bar
from .look import Look
from .region import Region, cut, width_of, write
from .sample import Sample

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SIZE, _SMALL = 10, 7.5
_LINE, _CHIP = 0.34, 0.25
_PAD, _GAP = 0.055, 0.05
_CLOSE = 0.02  # pad and gap where no space is between pieces
_WIDEST = 2.5
_BEYOND = 1.0001


@dataclass(frozen=True)
class Chip:
    """A word with its place: the left top corner and the width, in inches."""

    word: Word
    text: str
    left: float
    top: float
    width: float


def words_in(sample: Sample, look: Look) -> tuple[Word, ...]:
    """Return the words of a sample; positions without words are numbers.

    Raises:
        InputError: There is another number of pieces than of positions.
    """
    amounts = sample.amounts.abs() if look.absolute else sample.amounts
    pieces = sample.labels.words[0] if sample.labels.words else _numbers(len(amounts))
    if len(pieces) != len(amounts):
        raise InputError(
            f"{len(pieces)} tokens were given for {len(amounts)} positions: give one per position"
        )
    if look.pieces:
        pieces = tuple(Piece(p.text, None, p.special, p.padding) for p in pieces)
    return words_of(pieces, amounts.tolist())


def _numbers(count: int) -> tuple[Piece, ...]:
    return tuple(Piece(str(i)) for i in range(count))


@dataclass(frozen=True)
class WordsPanel:
    """A text as wrapped chips, with the bar of colours below.

    Special tokens are outlined and outside of the colours' limit; those beyond it are hatched, and
    have a number.
    """

    sample: Sample
    look: Look
    limit: Limit
    bar: bool = True

    width: ClassVar[float] = 7.6

    def height(self, width: float) -> float:
        """Return the height in inches."""
        lines = max((chip.top for chip in self._chips(width)), default=0.0) + _LINE
        return lines + 0.18 * len(self._remarks()) + (BAR_HEIGHT + 0.06) * self.bar

    def draw(self, region: Region) -> None:
        """Draw chips, the remark on special tokens, and the bar."""
        sheet = region.sheet()
        chips = list(self._chips(region.width))
        for chip in chips:
            _draw_chip(sheet, chip, self.limit.end, self.look)
        y = max((chip.top for chip in chips), default=0.0) + _LINE
        for remark in self._remarks():
            write(sheet, 0, y + 0.08, cut(remark, region.width), color=LIGHT.quiet)
            y += 0.18
        if self.bar:
            draw_bar(region.part(0, y + 0.06, 3.0, BAR_HEIGHT), self.limit, self.look)

    def _remarks(self) -> list[str]:
        said = "" if self.bar else self.limit.text()
        return list(filter(None, [remark_on_specials(words_in(self.sample, self.look)), said]))

    def _chips(self, width: float) -> Iterator[Chip]:
        """Yield the words line by line."""
        left, top = 0.0, 0.0
        for word in words_in(self.sample, self.look):
            text = cut(_text(word, self.limit.end), min(width, _WIDEST), _SIZE)
            pad = _pad(word)
            wide = width_of(text, _SIZE) + 2 * pad
            if left and left + wide > width:
                left, top = 0.0, top + _LINE
            yield Chip(word, text, left, top, wide)
            left += wide + (_GAP if word.pieces[-1].space else _CLOSE)
            if word.text.endswith("↵"):
                left, top = 0.0, top + _LINE


def limit_of(sample: Sample, look: Look) -> Limit:
    """Return where the colours of a text end: at the largest |R| of a word that is no special."""
    end = limit_of_words(words_in(sample, look))
    return Limit(end, end)


def _text(word: Word, limit: float) -> str:
    beyond = abs(word.amount) > limit * _BEYOND
    return f"{word.text} {signed(word.amount)}" if beyond else word.text


def _pad(word: Word) -> float:
    return _PAD if word.pieces[0].space else _CLOSE


def _draw_chip(sheet: Axes, chip: Chip, limit: float, look: Look) -> None:
    from matplotlib.patches import FancyBboxPatch

    word, beyond = chip.word, abs(chip.word.amount) > limit * _BEYOND
    colour = _colour(word.amount / limit, look)
    padding = word.pieces[0].padding
    box = FancyBboxPatch(
        (chip.left, chip.top),
        chip.width,
        _CHIP,
        boxstyle="round,pad=0,rounding_size=0.04",
        facecolor=LIGHT.paper if padding or beyond else hex_code(colour),
        edgecolor=LIGHT.paper if word.is_plain else LIGHT.absorbed,
        hatch="////" if beyond else None,
        linewidth=0.0 if word.is_plain else 0.9,
        gid="chip",
    )
    sheet.add_patch(box)
    ink = LIGHT.quiet if padding else LIGHT.ink if beyond else text_on(colour)
    middle = chip.top + _CHIP / 2
    back = {"facecolor": LIGHT.paper, "edgecolor": "none", "pad": 1.2} if beyond else None
    pad = _pad(word)
    write(sheet, chip.left + pad, middle, chip.text, size=_SIZE, color=ink, bbox=back)
    if word.amount < 0 and not look.absolute and abs(word.amount) > 0.02 * limit:
        ends = [chip.left + pad, chip.left + chip.width - pad]
        y = chip.top + _CHIP + 0.025
        sheet.plot(ends, [y, y], linestyle=":", linewidth=1.1, color=LIGHT.speaks_against)


def _colour(strength: float, look: Look) -> Colour:
    if look.cmap is None:
        return colour_at(strength)
    parts = look.colours()((max(-1.0, min(1.0, strength)) + 1) / 2)
    red, green, blue = (round(255 * part) for part in parts[:3])
    return red, green, blue
