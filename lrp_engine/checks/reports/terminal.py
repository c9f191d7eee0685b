"""Reports as tables to read; colours only where the output is a terminal."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..finding import Finding, Report, Status
from .words import (
    format_measured,
    format_number,
    format_title,
    format_verdict,
)

_STYLES = {
    Status.PASSED: "green",
    Status.FAILED: "bold red",
    Status.UNLIMITED: "cyan",
    Status.SKIPPED: "dim",
}

# Piped output has no width of its own; op names must not be cut off there.
_WIDTH_WITHOUT_TERMINAL = 160


def format_terminal(reports: Sequence[Report]) -> str:
    """Format the tables as text, with colours if stdout is a terminal."""
    coloured = sys.stdout.isatty()
    console = Console(
        file=io.StringIO(),
        force_terminal=coloured,
        width=None if coloured else _WIDTH_WITHOUT_TERMINAL,
        highlight=False,
        no_color=None if coloured else True,
    )
    for report in reports:
        console.print(_table(report))
        if report.coverage:
            console.print(Text(report.findings[0].message))
        for finding in report.failed:
            console.print()
            _print_failure(console, finding)
    style = "bold green" if all(report.ok for report in reports) else "bold red"
    console.print(Text(f"\n{format_verdict(reports)}", style), soft_wrap=True)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().rstrip("\n")


def _table(report: Report) -> Table:
    table = Table(title=Text(format_title(report)), title_justify="left", box=box.SIMPLE_HEAD)
    for head, justify in (("check", "left"), ("result", "left"), ("measured", "left")):
        table.add_column(head, justify=justify)  # type: ignore[arg-type]
    table.add_column("limit", justify="right")
    table.add_column("", overflow="fold")
    for f in report.findings:
        result = Text(f.status.value, _STYLES[f.status])
        about = "" if f.check == "coverage" else f.message
        table.add_row(
            f.check, result, Text(format_measured(f)), format_number(f.limit), Text(about)
        )
    return table


def _print_failure(console: Console, finding: Finding) -> None:
    """Plain lines, never wrapped: they hold paths that terminals turn into links."""
    head, *rest = finding.text().splitlines()
    console.print(Text(head, "bold red"), soft_wrap=True)
    for line in rest:
        console.print(Text(line), soft_wrap=True)
