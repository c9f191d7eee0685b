"""Read tables and rows from text files: TOML, JSON, JSONL, CSV."""

from __future__ import annotations

import csv
import io
import json
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..errors import InputError, LrpError
from .reading import fault_text, read_text, reading

_DEEPEST = 100  # tables within tables; what walks over them, such as repr(), recurses
_MAX_TABLE_BYTES = 1 << 22  # 4 MiB of TOML: its parser is slow


def read_toml(path: str | Path, error: type[LrpError] = InputError) -> dict[str, Any]:
    """Return the table of a TOML file. Raises `error` for a file that is none."""
    text = read_text(path, error, at_most=_MAX_TABLE_BYTES)
    return parse_toml(text, str(path), error)


def parse_toml(text: str, where: str, error: type[LrpError] = InputError) -> dict[str, Any]:
    """Return the table that a TOML text stands for; `where` is what an error calls the text.

    Example:
        >>> parse_toml("a = [1", "own.toml")
        Traceback (most recent call last):
        lrp_engine.errors.InputError: own.toml is not valid TOML: Unclosed array ...
    """
    try:
        table: dict[str, Any] = _shallow(tomllib.loads(text))
        return table
    except (ValueError, RecursionError) as fault:
        raise error(f"{where} is not valid TOML: {fault_text(fault)}") from fault


def parse_json(text: str | bytes, where: str, error: type[LrpError] = InputError) -> Any:
    """Return what a JSON text stands for; `where` is what an error calls the text."""
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8")
        return _shallow(json.loads(text))
    except (ValueError, RecursionError) as fault:
        raise error(f"{where} is not valid JSON: {fault_text(fault)}") from fault


def parse_json_object(
    text: str | bytes, where: str, error: type[LrpError] = InputError
) -> dict[str, Any]:
    """Return the object that a JSON text stands for; a list or a number is refused."""
    found = parse_json(text, where, error)
    if not isinstance(found, dict):
        raise error(f"{where} holds a JSON {type(found).__name__}, where an object is expected")
    return found


def read_json_object(path: str | Path, error: type[LrpError] = InputError) -> dict[str, Any]:
    """Return the object that a JSON file holds. Raises `error` for a file that holds none."""
    return parse_json_object(read_text(path, error), str(path), error)


def read_json_lines(path: str | Path, error: type[LrpError] = InputError) -> list[dict[str, Any]]:
    """Return the objects of a JSONL file, one a line. Raises `error`, which names the line."""
    lines = read_text(path, error).split("\n")
    return [
        parse_json_object(line, f"{path}, line {i}", error)
        for i, line in enumerate(lines, 1)
        if line.strip()
    ]


def read_csv(path: str | Path, error: type[LrpError] = InputError) -> list[dict[str, str]]:
    """Return the rows of a CSV file with a header. Raises `error` for rows of another width."""
    text = read_text(path, error)
    with reading(path, error):
        head, *rows = list(csv.reader(io.StringIO(text, newline=""), strict=True)) or [[]]
        found = []
        for i, row in enumerate((row for row in rows if row), 1):
            if len(row) != len(head):
                raise ValueError(f"row {i} has {len(row)} columns, the header {len(head)}")
            found.append(dict(zip(head, row, strict=True)))
        return found


def _shallow(value: Any) -> Any:
    """Return a parsed value; raise ValueError if it is nested beyond any use."""
    layer, depth = [value], 0
    while layer:
        depth += 1
        if depth > _DEEPEST:
            raise ValueError("it is nested too deeply")
        layer = [inner for outer in layer for inner in _contents(outer)]
    return value


def _contents(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()
