"""Put words together of the bytes of a file."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..show.pieces import Piece

# Names and numbers, one sign several times, spaces, ends of lines.
_WORD: re.Pattern[str] = re.compile(r"\w+|\r?\n|[ \t]+|([^\w\s])\1*|.", re.DOTALL)
_UNREADABLE = "\N{REPLACEMENT CHARACTER}"
_TEXT = 0.9  # of the characters: where fewer can be read, bytes are numbers


def pieces_of_bytes(content: bytes, after: int | None = None) -> list[Piece]:
    """Return a piece per byte; names, numbers and repeated signs are one word.

    Args:
        content: The bytes. Of a character of several, the first has its text.
        after: The number of the word before; None: there is none.

    Example:
        >>> from lrp_engine.demo.byte_words import pieces_of_bytes
        >>> [(p.text, p.word) for p in pieces_of_bytes(b"a1 ##")]
        [('a', 0), ('1', 0), (' ', 1), ('#', 2), ('#', 2)]
    """
    first = 0 if after is None else after + 1
    text = content.decode("utf-8", "replace")
    if not is_text(text):
        return [Piece(f"{byte:02x}", first + i) for i, byte in enumerate(content)]
    return list(_pieces(content, first))


def is_text(text: str) -> bool:
    """Return whether most of a text can be read."""
    readable = sum((c.isprintable() and c != _UNREADABLE) or c in "\n\r\t" for c in text)
    return readable >= _TEXT * len(text)


def _pieces(content: bytes, first: int) -> Iterator[Piece]:
    # What is no UTF-8 becomes one half of a surrogate pair per byte, and a byte again below.
    text = content.decode("utf-8", "surrogateescape")
    for number, match in enumerate(_WORD.finditer(text), first):
        for character in match[0]:
            size = len(character.encode("utf-8", "surrogateescape"))
            yield Piece(_shown(character), number, space=False)
            yield from [Piece("", number, space=False)] * (size - 1)


def _shown(character: str) -> str:
    if character == "\t":
        return "    "
    if character == "\r":
        return ""
    return character if character.isprintable() or character == "\n" else _UNREADABLE
