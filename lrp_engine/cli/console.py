"""How every command talks: results on stdout, progress and problems on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict
from typing import Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from .. import errors
from ..errors import LrpError
from ..graphs.nodes import origin, target_name
from ..onnx import Unsupported
from ..plan.assign import Uncovered

# Piped output has no width of its own; op names and reasons must not be cut off there.
_WIDTH_WITHOUT_TERMINAL = 160


def stdout() -> Console:
    """Where results go."""
    return Console(width=None if sys.stdout.isatty() else _WIDTH_WITHOUT_TERMINAL, highlight=False)


def stderr() -> Console:
    """Where progress and problems go."""
    return Console(stderr=True, soft_wrap=True, highlight=False)


def say(text: str, style: str | None = None) -> None:
    """One line of the result, as it is: square brackets are not read as styling."""
    stdout().print(text, style=style, markup=False, soft_wrap=True)


def note(text: str) -> None:
    """Something that the user should know, beside the result."""
    stderr().print(f"note: {text}", style="yellow", markup=False)


def print_json(data: Any) -> None:
    """The whole of stdout, for machines. Numbers that are not finite become null."""
    typer.echo(json.dumps(_finite(data), indent=2, allow_nan=False))


def print_table(title: str, head: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    """A table; columns whose head ends in `#` hold numbers."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for name in head:
        number = name.endswith("#")
        table.add_column(name.removesuffix("#"), justify="right" if number else "left")
    for row in rows:
        table.add_row(*map(_plain, row))
    stdout().print(table)


def working(what: str) -> AbstractContextManager[Any]:
    """A spinner on stderr while something takes long; nothing where stderr is no terminal."""
    console = stderr()
    return console.status(what) if console.is_terminal else nullcontext()


@contextmanager
def reporting(as_json: bool = False) -> Iterator[None]:
    """Problems become a message on stderr (with `as_json` an object on stdout too) and exit 1."""
    try:
        yield
    except LrpError as error:
        if as_json:
            print_json({"ok": False, "error": _error_data(error)})
        report(error)
        raise typer.Exit(1) from error


def report(error: LrpError) -> None:
    """The message of a problem, on stderr."""
    console = stderr()
    console.print(f"{_kind(error)}:", style="bold red", end=" ")
    console.print(str(error), markup=False)


def _error_data(error: LrpError) -> dict[str, Any]:
    data: dict[str, Any] = {"type": _kind(error), "message": str(error)}
    if isinstance(error, Uncovered):
        data["uncovered"] = [
            {"node": node.name, "op": target_name(node), "place": str(origin(node))}
            for node in error.nodes
        ]
    if isinstance(error, Unsupported):
        data["refused"] = [asdict(refusal) for refusal in error.refusals]
    return data


def _kind(error: LrpError) -> str:
    """The public name of an error's class: private subclasses speak as their parent."""
    public = (k for k in type(error).__mro__ if k is Unsupported or k.__module__ == errors.__name__)
    return next(public, LrpError).__name__


def _plain(text: str) -> str:
    return text.replace("[", r"\[")


def _finite(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _finite(item) for key, item in data.items()}
    if isinstance(data, (list, tuple)):
        return [_finite(item) for item in data]
    if isinstance(data, float) and data - data != 0:
        return None
    return data
