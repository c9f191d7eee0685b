"""Hold the pieces that a tokenizer makes of a text, and put words together of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_STARTS = ("▁", "Ġ")
_RESTS = ("##",)


@dataclass(frozen=True)
class Piece:
    """One position of a token axis.

    Args:
        text: What stands there, as it is to be read.
        word: The number of the word it is a part of: neighbours with one number are one word. None:
            it is a word of its own.
        special: True for tokens that stand for no text, as [CLS] does.
        padding: True where a shorter text was filled up.
        space: True if a space goes before it.
    """

    text: str
    word: int | None = None
    special: bool = False
    padding: bool = False
    space: bool = True


def pieces_of(tokens: Sequence[str | Piece]) -> tuple[Piece, ...]:
    """Return pieces from tokens as tokenizers write them.

    `##ing` goes on with a word (WordPiece), `▁ing` and `Ġing` begin one (SentencePiece, byte-level
    BPE). If no token has such a mark, each is a word. `[CLS]`, `<s>`, `<|endoftext|>` and the like
    are special, `[PAD]`, `<pad>` padding.

    Example:
        >>> from lrp_engine.show.pieces import pieces_of
        >>> [(p.text, p.word) for p in pieces_of(["[CLS]", "nur", "##se", "gave"])]
        [('[CLS]', 0), ('nur', 1), ('se', 1), ('gave', 2)]
    """
    texts = [t for t in tokens if isinstance(t, str)]
    marked = any(t.startswith(_STARTS) for t in texts)
    begins = _begins_by_mark if marked else _begins_by_rest
    found: list[Piece] = []
    word = -1
    for token in tokens:
        if isinstance(token, Piece):
            word = word + 1 if token.word is None else token.word
            found.append(token)
            continue
        special = _is_special(token)
        starts = special or begins(token) or not found or found[-1].special
        word += starts
        text = token if special else _without_mark(token)
        padding = special and token.lower().strip("[]<>|_") == "pad"
        found.append(Piece(text, word, special, padding))
    return tuple(found)


def _begins_by_mark(token: str) -> bool:
    return token.startswith(_STARTS)


def _begins_by_rest(token: str) -> bool:
    return not token.startswith(_RESTS)


def _is_special(token: str) -> bool:
    return (
        len(token) > 2
        and not token.startswith("<0x")
        and (token[0], token[-1]) in {("[", "]"), ("<", ">")}
    )


def _without_mark(token: str) -> str:
    if token.startswith(_RESTS):
        return token.removeprefix("##")
    return token[1:] if token.startswith(_STARTS) else token
