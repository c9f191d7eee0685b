"""Put words together from their pieces, and their relevance with them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from ..markup.numbers import percent
from .pieces import Piece


@dataclass(frozen=True)
class Word:
    """Neighbouring pieces of one word, and their relevance.

    `amount` is the sum of `amounts`, which has an entry per piece. Of padding, all neighbours are
    one word.
    """

    pieces: tuple[Piece, ...]
    amounts: tuple[float, ...]

    @property
    def amount(self) -> float:
        """The word's relevance."""
        return sum(self.amounts)

    @property
    def text(self) -> str:
        """The word as it is to be read; line breaks are shown."""
        first = self.pieces[0]
        if first.padding:
            return f"{first.text} ×{len(self.pieces)}" if len(self.pieces) > 1 else first.text
        return "".join(piece.text for piece in self.pieces).replace("\n", "↵")

    @property
    def is_plain(self) -> bool:
        """True if it stands for text: it is neither special nor padding."""
        return not (self.pieces[0].special or self.pieces[0].padding)


def words_of(pieces: Sequence[Piece], amounts: Sequence[float]) -> tuple[Word, ...]:
    """Return the words of one sample, in order.

    Args:
        pieces: One per position.
        amounts: Relevance, one per position.
    """
    grouped = groupby(_numbered(pieces, amounts), key=lambda item: item[0])
    found = []
    for _, members in grouped:
        _, parts, numbers = zip(*members, strict=True)
        found.append(Word(tuple(parts), tuple(numbers)))
    return tuple(found)


def limit_of_words(words: Sequence[Word]) -> float:
    """Return where the colours end: at the largest |R| of a word that stands for text."""
    plain = [abs(word.amount) for word in words if word.is_plain]
    return max(plain, default=0.0) or 1.0


def remark_on_specials(words: Sequence[Word]) -> str:
    """Say which special token holds over half of |R|, if one does; else ""."""
    total = sum(abs(word.amount) for word in words)
    for word in words:
        if not word.is_plain and abs(word.amount) > total / 2:
            share = percent(abs(word.amount) / total)
            return f"{word.text} holds {share} of |R|; colours fit the other words"
    return ""


def _numbered(
    pieces: Sequence[Piece], amounts: Sequence[float]
) -> Iterator[tuple[object, Piece, float]]:
    """Yield each piece behind what its word's pieces have in common."""
    for place, (piece, amount) in enumerate(zip(pieces, amounts, strict=True)):
        alone = piece.special or piece.word is None
        yield ("padding" if piece.padding else place if alone else (piece.word,)), piece, amount
