"""Find files: of a folder with its subfolders, which may name classes."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from ...errors import InputError
from ..batch import Sample

_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)


def refuse_url(thing: object) -> None:
    """Raise InputError for an address: nothing is downloaded."""
    if isinstance(thing, str) and _URL.match(thing):
        raise InputError(f"{thing} is an address: nothing is downloaded; give a file that is here")


def is_path(thing: object, endings: Collection[str]) -> bool:
    """Return whether something names a file with such an ending, or a folder that holds one."""
    if not isinstance(thing, (str, os.PathLike)):
        return False
    path = Path(thing)
    if path.suffix.lower() in endings:
        return True
    return path.is_dir() and any(inside.suffix.lower() in endings for inside in path.rglob("*"))


def find_files(path: str | os.PathLike[str], endings: Collection[str], what: str) -> list[Sample]:
    """Return a file, or those of a folder with its subfolders, in the order of their paths.

    Where all files lie in subfolders, the first one names the class of what is in it.

    Args:
        path: A file or a folder.
        endings: The endings that count, with the dot.
        what: What is looked for, such as "image".

    Raises:
        InputError: there is no such file, or none in the folder.
    """
    place = Path(path)
    if not place.exists():
        raise InputError(f"there is no file {place}")
    if not place.is_dir():
        return [Sample(place, place.name)]
    files = [f for f in sorted(place.rglob("*")) if f.suffix.lower() in endings and f.is_file()]
    visible = [f for f in files if not any(p.startswith(".") for p in f.relative_to(place).parts)]
    if not visible:
        raise InputError(f"{place} holds no {what} ({', '.join(sorted(endings))})")
    inside = [f.relative_to(place) for f in visible]
    named = all(len(path.parts) > 1 for path in inside)
    return [Sample(place / at, at.as_posix(), at.parts[0] if named else "") for at in inside]


def flat(data: Any) -> list[Any]:
    """Return the entries of a list or tuple, or the one thing in a list."""
    return list(data) if isinstance(data, (list, tuple)) else [data]
