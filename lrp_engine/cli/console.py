"""Console output of every command: results on stdout, progress and problems on stderr."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import (
    AbstractContextManager,
    contextmanager,
    nullcontext,
    redirect_stdout,
)
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from .. import errors
from ..boundary.user_code import describe_fault, user_place
from ..errors import InternalError, LrpError, UserCodeError

if TYPE_CHECKING:
    from ..circuits.patching import Progress

# What wrong usage raises. Newer typer brings its own copy of click, so it is found through typer.
UsageFault: type[Exception] = next(
    kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException"
)

# Piped output has no width of its own; op names and reasons must not be cut off there.
_WIDTH_WITHOUT_TERMINAL = 160


def stdout() -> Console:
    """Return the console that results go to."""
    return Console(width=None if sys.stdout.isatty() else _WIDTH_WITHOUT_TERMINAL, highlight=False)


def stderr() -> Console:
    """Return the console that progress and problems go to."""
    return Console(stderr=True, soft_wrap=True, highlight=False)


def say(text: str, style: str | None = None) -> None:
    """Print one line of the result verbatim: square brackets are not read as styling."""
    stdout().print(text, style=style, markup=False, soft_wrap=True)


def note(text: str) -> None:
    """Print a note on stderr, beside the result."""
    stderr().print(f"note: {text}", style="yellow", markup=False)


def print_json(data: object) -> None:
    """Print data as JSON, which is then all of stdout; NaN and infinities become null."""
    try:
        text = json.dumps(data, indent=2, allow_nan=False)
    except ValueError:  # JSON has neither NaN nor infinities
        from ..checks.reports.json import null_nonfinite

        text = json.dumps(null_nonfinite(data), indent=2, allow_nan=False)
    typer.echo(text)


def print_table(title: str, head: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    """Print a table; columns whose head ends in `#` hold numbers and are aligned right."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for name in head:
        number = name.endswith("#")
        table.add_column(name.removesuffix("#"), justify="right" if number else "left")
    for row in rows:
        table.add_row(*map(_plain, row))
    stdout().print(table)


def working(what: str) -> AbstractContextManager[object]:
    """Show a spinner on stderr during a long step; nothing where stderr is no terminal."""
    console = stderr()
    return console.status(what) if console.is_terminal else nullcontext()


@contextmanager
def progress(what: str) -> Iterator[Progress]:
    """Show a progress bar on stderr, driven by a function of (done, total).

    Nothing is shown where stderr is no terminal.
    """
    from rich import progress as bars

    console = stderr()
    columns = (
        bars.TextColumn(what),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TimeRemainingColumn(),
    )
    hidden = not console.is_terminal
    with bars.Progress(*columns, console=console, transient=True, disable=hidden) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def reporting(as_json: bool = False, debug: bool = False) -> Iterator[None]:
    """Turn whatever a command raises into one line on stderr and exit code 1.

    Nothing else leaves a command: an error of this package is told as it is, an exception in code
    of the user's with the line that it comes from, anything else as a fault of this package.

    Args:
        as_json: Print an object that describes the error on stdout, too. Stdout belongs to it: what
            the user's code prints meanwhile goes to stderr.
        debug: Print the traceback, too.
    """
    aside = redirect_stdout(sys.stderr) if as_json else nullcontext()
    try:
        with aside:
            yield
    except (typer.Exit, typer.Abort, UsageFault):
        raise
    except (Exception, SystemExit) as fault:
        error = fault if isinstance(fault, LrpError) else _as_ours(fault)
        if debug:
            traceback.print_exception(fault, file=sys.stderr)
        if as_json:
            print_json({"ok": False, "error": _error_data(error)})
        report(error)
        raise typer.Exit(1) from fault


def _as_ours(fault: BaseException) -> LrpError:
    """Return an error that says whose code failed, and where."""
    said, place = describe_fault(fault), user_place(fault)
    if place is not None:
        return UserCodeError(f"your code failed: {said}")
    if isinstance(fault, (OSError, MemoryError)):
        return LrpError(said)
    return InternalError(f"{said}. Run again with --debug for the trace, and report it.")


def report(error: LrpError) -> None:
    """Print the message of an error on stderr."""
    console = stderr()
    console.print(f"{_kind(error)}:", style="bold red", end=" ")
    console.print(str(error), markup=False)


def _error_data(error: LrpError) -> dict[str, object]:
    from ..onnx import Unsupported
    from ..plan.assign import Uncovered

    data: dict[str, object] = {"type": _kind(error), "message": str(error)}
    if isinstance(error, Uncovered):
        data["uncovered"] = [
            {"node": op.name, "op": op.op, "place": str(op.origin), "reason": op.reason}
            for op in error.ops
        ]
    if isinstance(error, Unsupported):
        data["refused"] = [asdict(refusal) for refusal in error.refusals]
    return data


def _kind(error: LrpError) -> str:
    """Return the public name of an error's class; private subclasses go by their parent's."""
    names = (
        kind.__name__
        for kind in type(error).__mro__
        if kind.__module__ == errors.__name__ or kind.__name__ == "Unsupported"
    )
    return next(names, LrpError.__name__)


def _plain(text: str) -> str:
    return text.replace("[", r"\[")
