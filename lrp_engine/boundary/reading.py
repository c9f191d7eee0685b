"""Read files from outside: every fault of one becomes an error of this package that names it.

Each loader opens its file inside `reading()`. No other module opens, parses or unpickles a file;
`tests/boundary/test_loaders.py` checks that.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import InputError, LrpError

MAX_TEXT_BYTES = 1 << 28  # 256 MiB: no preset, file of checks or file of prompts comes near


@contextmanager
def reading(path: str | Path, error: type[LrpError] = InputError, what: str = "") -> Iterator[Path]:
    """Turn whatever reading a file raises into one error that names the file and the fault.

    Args:
        path: The file. It has to be a regular one: a pipe could be waited for forever.
        error: The kind of error to raise.
        what: What the file should be, such as "an image".

    Yields:
        The path.

    Example:
        >>> with reading("nowhere.toml", what="a preset"):
        ...     pass
        Traceback (most recent call last):
        lrp_engine.errors.InputError: nowhere.toml cannot be read as a preset: there is no such file
    """
    path = Path(path)
    try:
        _refuse_irregular(path)
        yield path
    except LrpError:
        raise
    except Exception as fault:
        wanted = f" as {what}" if what else ""
        raise error(f"{path} cannot be read{wanted}: {fault_text(fault)}") from fault


def read_text(
    path: str | Path, error: type[LrpError] = InputError, *, at_most: int = MAX_TEXT_BYTES
) -> str:
    """Return the text of a UTF-8 file. Raises `error` for a file that is none, or too long."""
    with reading(path, error) as file:
        size = file.stat().st_size
        if size > at_most:
            raise ValueError(f"it has {size:,} bytes, at most {at_most:,} are read")
        return file.read_text(encoding="utf-8-sig")


def read_ends(path: str | Path, size: int, error: type[LrpError] = InputError) -> bytes:
    """Return the bytes of a file; of one that has more, the first and the last `size` of them."""
    with reading(path, error) as file, file.open("rb") as stream:
        content = stream.read(2 * size)
        if len(content) == 2 * size:
            stream.seek(-size, os.SEEK_END)
            content = content[:size] + stream.read()
    return content


def fault_text(fault: BaseException) -> str:
    """Return what an exception says about a file, in one line."""
    if isinstance(fault, RecursionError):
        return "it is nested too deeply"
    if isinstance(fault, MemoryError):
        return "it asks for more memory than there is"
    if isinstance(fault, UnicodeDecodeError):
        return f"it is not UTF-8 text (byte {fault.start:,} is {fault.object[fault.start]:#04x})"
    if isinstance(fault, OSError) and fault.strerror:
        return fault.strerror
    text = next(iter(str(fault).strip().splitlines()), "")
    known = isinstance(fault, (LrpError, ValueError, RuntimeError)) and text
    return text if known else f"{type(fault).__name__}: {text}".removesuffix(": ")


def _refuse_irregular(path: Path) -> None:
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError("there is no such file") from None
    if stat.S_ISDIR(mode):
        raise ValueError("it is a folder")
    if not stat.S_ISREG(mode):
        raise ValueError("it is not a regular file")
