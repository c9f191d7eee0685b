"""The command line: its subcommands and its own options."""

from __future__ import annotations

from typing import Annotated

import typer

from .commands.check import check
from .commands.compare import compare
from .commands.explain import explain
from .commands.list_names import names
from .commands.list_presets import presets
from .commands.run_demo import demo
from .commands.score_circuit import circuit
from .commands.show_coverage import coverage
from .commands.show_plan import plan
from .commands.view import view
from .commands.write_package import package
from .commands.write_report import report
from .usage_errors import JsonGroup

app: typer.Typer = typer.Typer(
    name="lrp",
    cls=JsonGroup,
    help="Layer-wise relevance propagation for torch models.\n\n"
    "Exit codes: 0 all is well, 1 the model or the explanation has a problem, 2 wrong usage.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for _command in (
    demo,
    explain,
    compare,
    report,
    view,
    circuit,
    names,
    coverage,
    plan,
    check,
    package,
):
    app.command()(_command)
app.add_typer(presets, name="presets")


def _print_version(requested: bool) -> None:
    if requested:
        from lrp_engine.version import engine_version

        typer.echo(f"lrp-engine {engine_version()}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Accept the options of `lrp` itself."""


def main() -> None:
    """Run the command line; the entry point of the console script."""
    app()
