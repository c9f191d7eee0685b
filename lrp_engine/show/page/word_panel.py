"""Write words as chips: coloured by class, values at the pointer, special tokens apart."""

from __future__ import annotations

from collections.abc import Sequence

from ...markup import Markup, element, join, quote
from ...markup.numbers import percent, signed
from ..words import Word, limit_of_words, remark_on_specials
from .legend import write_word_legend
from .palette import word_class
from .source import SourceView


def write_words(view: SourceView) -> Markup:
    """Write the words of a sample, and where their colours end."""
    words = view.words
    limit = limit_of_words(words)
    ranks, total = _ranks(words), sum(abs(word.amount) for word in words) or 1.0
    chips = [
        _write_word(word, limit, total, ranks[place])
        for place, word in enumerate(words[: view.room.words])
    ]
    left_out = len(words) - view.room.words
    said = [remark_on_specials(words)]
    said.append(f"… {left_out} more words" if left_out > 0 else "")
    notes = [element("p", quote(text), class_="quiet") for text in said if text]
    text = element("p", join(chips), class_="words")
    return join([text, *notes, write_word_legend(limit, view.unit)])


def _write_word(word: Word, limit: float, total: float, rank: int) -> Markup:
    space = " " if word.pieces[0].space else ""
    kinds = _classes(word, limit)
    tip = _describe(word, total, rank)
    shown = f"{word.text} {signed(word.amount)}" if "beyond" in kinds else word.text
    chip = element("span", quote(shown), class_=" ".join(kinds), data_tip=tip)
    return Markup(space + chip + (element("br") if word.text.endswith("↵") else ""))


def _classes(word: Word, limit: float) -> list[str]:
    """Return the CSS classes: special tokens are outlined, hatched where beyond the limit."""
    if not word.is_plain:
        return ["special", "beyond"] if abs(word.amount) > limit else ["special"]
    kind = word_class(word.amount, limit)
    return [kind, "minus"] if kind.startswith("n") else [kind]


def _describe(word: Word, total: float, rank: int) -> str:
    """Return a word's values: `nurse +0.412, 19 % of |R|, rank 2; nur +0.30, ##se +0.11`."""
    share = percent(abs(word.amount) / total)
    said = f"{word.text} {signed(word.amount)}, {share} of |R|, rank {rank}"
    if len(word.pieces) == 1 or word.pieces[0].padding:
        return said
    parts = zip(word.pieces, word.amounts, strict=True)
    return f"{said}; {', '.join(f'{piece.text} {signed(amount)}' for piece, amount in parts)}"


def _ranks(words: Sequence[Word]) -> list[int]:
    """Return the rank of each word by |R|, from 1."""
    order = sorted(range(len(words)), key=lambda place: -abs(words[place].amount))
    ranks = [0] * len(words)
    for rank, place in enumerate(order, 1):
        ranks[place] = rank
    return ranks
