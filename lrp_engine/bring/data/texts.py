"""Read texts: strings, lists and columns of them, and files with one text per line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...boundary.reading import read_text
from ...errors import InputError
from ..batch import Sample
from ..home import is_from

ENDINGS = (".txt",)
_LONGEST_NAME = 60

Check = Callable[[Any], bool]


def is_text(thing: Any) -> bool:
    """Return whether something is a text."""
    return isinstance(thing, str)


def is_pair(thing: Any) -> bool:
    """Return whether something is a pair of texts."""
    return isinstance(thing, tuple) and len(thing) == 2 and all(map(is_text, thing))


def text_samples(data: Any, accepts: Check = is_text, what: str = "a text") -> list[Sample]:
    """Return one sample per text.

    Args:
        data: What `accepts` takes, a list or pandas column of it, or the Path of a file with one
            text per line. A string is a text, never a path.
        accepts: Whether something is one sample.
        what: One sample in words, for errors.

    Raises:
        InputError: something is no text, or an empty one.
    """
    if isinstance(data, Path):
        return _lines(data, accepts, what)
    if is_from(data, "pandas") and hasattr(data, "tolist"):
        data = data.tolist()
    each = data if isinstance(data, list) else [data]
    if not each:
        raise InputError("there is no text to explain: the list is empty")
    for one in each:
        if not accepts(one):
            raise InputError(f"the model reads {what}, not a {type(one).__name__}")
        _refuse_odd(one)
    return [Sample(one, _name(one)) for one in each]


def _lines(path: Path, accepts: Check, what: str) -> list[Sample]:
    if path.suffix.lower() not in ENDINGS:
        raise InputError(f"{path}: texts are read from .txt files, one per line")
    lines = [line for line in read_text(path).splitlines() if line.strip()]
    if not lines:
        raise InputError(f"{path} holds no text")
    parts = [line if accepts(line) else tuple(line.split("\t")) for line in lines]
    for number, part in enumerate(parts, 1):
        if not accepts(part):
            raise InputError(f"{path}: text {number} is not {what} (two are parted by a tab)")
    return [Sample(part, _name(part)) for part in parts]


def _refuse_odd(thing: Any) -> None:
    """Refuse an empty text, and the name of a file that is there: its lines may be meant."""
    for text in thing if isinstance(thing, tuple) else (thing,):
        if not text.strip():
            raise InputError("a text is empty: there is nothing to explain")
        if text.lower().endswith(ENDINGS) and "\n" not in text and Path(text).is_file():
            raise InputError(f"{text!r} is a file: give Path({text!r}) to explain its lines")


def _name(thing: Any) -> str:
    text = " | ".join(thing) if isinstance(thing, tuple) else str(thing)
    return text if len(text) <= _LONGEST_NAME else f"{text[: _LONGEST_NAME - 3]}..."
