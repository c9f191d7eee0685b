"""Say of which kind the values of a table from a file have to be, and check that they are."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..errors import LrpError, suggest


@dataclass(frozen=True)
class Kind:
    """A kind of value: what errors call it, and a test."""

    words: str
    accepts: Callable[[object], bool]


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def many(kind: Kind, words: str) -> Kind:
    """Return the kind of a list of values of one kind."""
    return Kind(words, lambda v: isinstance(v, list) and all(map(kind.accepts, v)))


TEXT = Kind("text", lambda v: isinstance(v, str))
FLAG = Kind("true or false", lambda v: isinstance(v, bool))
WHOLE = Kind("a whole number", _is_whole)
COUNT = Kind("a whole number of at least 1", lambda v: _is_whole(v) and v >= 1)  # type: ignore[operator]
NUMBER = Kind("a number", _is_number)
TABLE = Kind("a table", lambda v: isinstance(v, Mapping))
TEXTS = many(TEXT, "a list of texts")
NUMBERS = many(NUMBER, "a list of numbers")
TABLES = many(TABLE, "a list of tables")
NUMBERS_BY_NAME = Kind(
    "a table of numbers", lambda v: isinstance(v, Mapping) and all(map(_is_number, v.values()))
)
ANYTHING = Kind("anything", lambda v: True)

_OF_TYPE: dict[object, Kind] = {
    str: TEXT,
    bool: FLAG,
    int: WHOLE,
    float: NUMBER,
    tuple[str, ...]: TEXTS,
    Mapping[str, float]: NUMBERS_BY_NAME,
}


def kinds_of(record: type) -> dict[str, Kind]:
    """Return the kinds of a dataclass's fields, as JSON writes them, by the types it declares."""
    types = typing.get_type_hints(record)
    return {f.name: _OF_TYPE.get(types[f.name], ANYTHING) for f in dataclasses.fields(record)}


def check_table(
    table: object, kinds: Mapping[str, Kind], where: str, error: type[LrpError]
) -> None:
    """Raise `error` unless `table` is one, has no other keys, and each value is of its kind.

    Example:
        >>> from lrp_engine.errors import InputError
        >>> check_table({"batch": "8"}, {"batch": COUNT}, "lrp.toml", InputError)
        Traceback (most recent call last):
        lrp_engine.errors.InputError: lrp.toml: batch is a whole number of at least 1, not '8'
    """
    if not isinstance(table, Mapping):
        raise error(f"{where} is a table, not {table!r}")
    for key, value in table.items():
        if key not in kinds:
            raise error(f"{where}: unknown key {key!r}{suggest(str(key), kinds)}")
        if not kinds[key].accepts(value):
            raise error(f"{where}: {key} is {kinds[key].words}, not {value!r}")
