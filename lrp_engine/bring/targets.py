"""Put numbers in the place of names in a target, and positions in the place of words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from ..errors import TargetError, suggest
from ..run.class_weights import PREDICTED
from ..run.target import Position
from ..show.pieces import Piece
from .batch import Batch
from .class_names import Names


def number_target(target: Any, names: Names) -> Any:
    """Return a target with numbers in the place of names; "predicted" stays.

    Args:
        target: As for `Engine.explain`, with names for classes, per sample or in {name: weight}.
        names: Turns a name into a number.

    Raises:
        TargetError: a name is unknown, or stands for several classes.
    """
    if isinstance(target, str):
        return target if target == PREDICTED else names.number(target)
    if isinstance(target, Mapping):
        found: dict[Any, float] = {}
        for key, weight in target.items():
            number = number_target(key, names) if isinstance(key, str) else key
            if number in found:
                raise TargetError(f"{key!r} and another name of {dict(target)} are one class")
            found[number] = weight
        return found
    if isinstance(target, (list, tuple)):
        return [number_target(each, names) for each in target]
    return target


def number_position(position: Any, batch: Batch) -> Position:
    """Return a position with numbers in the place of words; None: that of the batch.

    Raises:
        TargetError: a word does not stand in its text, or several times.
    """
    if position is None:
        return batch.position
    if isinstance(position, str):
        return [_find(position, pieces) for pieces in _words(batch)]
    if _has_words(position):
        texts = _words(batch)
        if len(texts) != len(position):
            raise TargetError(f"one position per sample is needed: {len(texts)}")
        pairs = zip(position, texts, strict=True)
        return [_find(at, pieces) if isinstance(at, str) else at for at, pieces in pairs]
    found: Position = position
    return found


def _has_words(position: Any) -> bool:
    several = isinstance(position, Sequence) and not isinstance(position, Tensor)
    return several and any(isinstance(at, str) for at in position)


def _words(batch: Batch) -> Sequence[Sequence[Piece]]:
    for labels in batch.sources.values():
        if labels.words:
            return labels.words
    raise TargetError("a word names a position of a text only: give a number")


def _find(word: str, pieces: Sequence[Piece]) -> int:
    """Return the position of the first piece of a word."""
    starts: dict[str, list[int]] = {}
    for start, text in spell_words(pieces):
        starts.setdefault(text, []).append(start)
    found = starts.get(word, [])
    if len(found) == 1:
        return found[0]
    if found:
        raise TargetError(f"{word!r} stands at positions {', '.join(map(str, found))}: give one")
    raise TargetError(f"there is no word {word!r} in the text{suggest(word, starts)}")


def spell_words(pieces: Sequence[Piece]) -> list[tuple[int, str]]:
    """Return the words of a text, each with its first position; special tokens are left out."""
    found: list[tuple[int, str]] = []
    before: int | None = None
    for place, piece in enumerate(pieces):
        if piece.special or piece.padding:
            before = None
            continue
        if piece.word is not None and piece.word == before:
            start, text = found.pop()
            found.append((start, text + piece.text))
        else:
            found.append((place, piece.text))
        before = piece.word
    return found
