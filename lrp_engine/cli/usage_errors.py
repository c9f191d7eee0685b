"""Wrong usage with --json: an object on stdout, as for every other error."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperGroup

from .console import UsageFault, print_json


class JsonGroup(TyperGroup):
    """The commands; wrong usage is told in JSON, too, where JSON was asked for."""

    def main(self, args: Sequence[str] | None = None, *rest: Any, **options: Any) -> Any:
        """Run a command line, and exit with its code unless `standalone_mode` is off."""
        given = list(sys.argv[1:] if args is None else args)
        if not options.get("standalone_mode", True) or not asks_for_json(given):
            return super().main(given, *rest, **options)
        options["standalone_mode"] = False
        try:
            code = super().main(given, *rest, **options)
        except UsageFault as fault:
            message = fault.format_message()  # type: ignore[attr-defined]
            print_json({"ok": False, "error": {"type": "UsageError", "message": message}})
            typer.echo(f"Error: {message}", err=True)
            sys.exit(2)
        except typer.Abort:
            print_json({"ok": False, "error": {"type": "Aborted", "message": "interrupted"}})
            sys.exit(130)
        sys.exit(code if isinstance(code, int) else 0)


def asks_for_json(arguments: Sequence[str]) -> bool:
    """Return whether a command line asks for JSON on stdout."""
    pairs = itertools.pairwise(arguments)
    return (
        "--json" in arguments or "--format=json" in arguments or ("--format", "json") in set(pairs)
    )
