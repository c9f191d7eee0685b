"""Read texts: strings, lists and columns of them, and files with one text per line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...boundary.reading import read_text
from ...errors import InputError
from ..batch import Sample
from ..home import is_from
from .tables import holds_table, table_samples

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
        data: What `accepts` takes, a list or pandas column of it, a table with a column of texts,
            or the Path of a file with one text per line. A string is a text, never a path.
        accepts: Whether something is one sample.
        what: One sample in words, for errors.

    Raises:
        InputError: something is no text, or an empty one.
    """
    if _is_table(data) and accepts(""):
        return _rows(table_samples(data))
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


def _is_table(data: Any) -> bool:
    """Return whether data are a table: a .csv file by its Path, or what pandas calls one."""
    if isinstance(data, str) or (isinstance(data, Path) and not data.is_file()):
        return False
    return holds_table(data) and not (is_from(data, "pandas") and not hasattr(data, "columns"))


def _rows(rows: list[Sample]) -> list[Sample]:
    """Return the texts of a table: its only column, or `text`, with the true class in `label`.

    Raises InputError for other columns: which of them the model reads would be a guess.
    """
    names: tuple[str, ...] = rows[0].value.names if rows else ()
    column = names[0] if len(names) == 1 else "text"
    others = [name for name in names if name not in (column, "label")]
    if column not in names or others:
        raise InputError(
            f"the table has the columns {', '.join(names)}, and the model reads one text: give the"
            " column alone, such as table['text'], or a table of text and label"
        )
    found = []
    for row in rows:
        values = dict(zip(row.value.names, row.value.values, strict=True))
        if not is_text(values[column]):
            raise InputError(f"column {column!r} holds {values[column]!r}, which is no text")
        _refuse_odd(values[column])
        truth = str(values.get("label", ""))
        found.append(Sample(values[column], _name(values[column]), truth))
    return found


def _lines(path: Path, accepts: Check, what: str) -> list[Sample]:
    if path.suffix.lower() not in ENDINGS:
        raise InputError(f"{path}: texts are read from .txt files, one per line, and .csv files")
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
