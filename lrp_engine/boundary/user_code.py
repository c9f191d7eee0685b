"""Call code of the user's: what it raises is told in one line, with the place in their code."""

from __future__ import annotations

import os
import sysconfig
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, TypeVar

from ..errors import LrpError, UserCodeError

Part = TypeVar("Part")

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class CodePlace(NamedTuple):
    """A line of code."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@contextmanager
def calling(what: str) -> Iterator[None]:
    """Raise UserCodeError for whatever code of the user's raises inside.

    Errors of this package pass as they are. `sys.exit` is an error, too: it would end the program
    with an exit code that looks like a result.

    Args:
        what: What is called, such as "the metric".

    Example:
        >>> with calling("the metric"):
        ...     1 / 0
        Traceback (most recent call last):
        lrp_engine.errors.UserCodeError: the metric failed: ZeroDivisionError: division by zero...
    """
    try:
        yield
    except LrpError:
        raise
    except (Exception, SystemExit) as fault:
        raise UserCodeError(f"{what} failed: {describe_fault(fault)}") from fault


def iterating(what: str, parts: Iterable[Part]) -> Iterator[Part]:
    """Yield what an iterable of the user's gives; raise UserCodeError for what it raises."""
    with calling(what):
        rest = iter(parts)
    while True:
        with calling(what):
            try:
                part = next(rest)
            except StopIteration:
                return
        yield part


def describe_fault(fault: BaseException) -> str:
    """Return an exception's type, message and the line of the user's that it comes from."""
    text = next((line for line in str(fault).splitlines() if line.strip()), "").strip()
    place = user_place(fault)
    kind = type(fault).__name__
    said = f"{kind}: {text}" if text else kind
    return f"{said} ({place})" if place else said


def user_place(fault: BaseException) -> CodePlace | None:
    """Return the innermost line of an exception's traceback that is the user's own code.

    Code of this package, of the standard library and of installed packages is nobody's own; a
    syntax error names its own place.
    """
    if isinstance(fault, SyntaxError) and fault.filename:
        return CodePlace(fault.filename, fault.lineno or 0)
    frames = frames_of(fault)
    own = [frame for frame in frames if is_users(frame.filename)]
    return CodePlace(own[-1].filename, own[-1].lineno or 0) if own else None


def code_place(fault: BaseException) -> CodePlace | None:
    """Return the user's line or, if there is none, the innermost line outside torch and Python.

    The second is that of an installed model, such as one of transformers'.
    """
    place = user_place(fault)
    if place is not None:
        return place
    frames = [frame for frame in frames_of(fault) if _is_models(frame.filename)]
    return CodePlace(frames[-1].filename, frames[-1].lineno or 0) if frames else None


def frames_of(fault: BaseException) -> list[traceback.FrameSummary]:
    """Return the frames of an exception's traceback, outermost first."""
    return list(traceback.extract_tb(fault.__traceback__))


def _is_models(file: str) -> bool:
    path = os.path.abspath(file)
    if file.startswith("<") or path.startswith(_PACKAGE + os.sep):
        return False
    folders = [folder for folder in _library_folders() if path.startswith(folder + os.sep)]
    return (
        f"{os.sep}site-packages{os.sep}" in path
        and bool(folders)
        and not any(f"{os.sep}{package}{os.sep}" in path for package in ("torch", "sympy", "numpy"))
    )


def is_users(file: str) -> bool:
    """Return whether a file of code belongs to the user: to no package, and not to Python."""
    if file.startswith("<"):  # generated code, and Python's own frozen modules
        return False
    path = os.path.abspath(file)
    if path.startswith(_PACKAGE + os.sep):
        return False
    return not any(path.startswith(folder + os.sep) for folder in _library_folders())


def _library_folders() -> set[str]:
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    found = (sysconfig.get_path(name) for name in names)
    return {os.path.abspath(path) for path in found if path}
