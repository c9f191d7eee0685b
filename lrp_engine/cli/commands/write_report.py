"""`lrp report`: a page from a saved explanation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .. import options as o
from ..console import print_json, reporting, say


def report(
    saved: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", exists=True, dir_okay=False, help="What lrp explain --save wrote."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The page to write. Default: beside FILE, .html."),
    ] = None,
    axes: Annotated[
        str | None,
        typer.Option(help="What the axes of the source are, if unknown: 'batch channel time'."),
    ] = None,
    source: Annotated[
        str | None, typer.Option("--source", help="The source that --axes speaks of.")
    ] = None,
    as_json: o.AsJson = False,
    debug: o.Debug = False,
) -> None:
    """Write one self-contained page: relevance, prediction, ledger, and what they rest on.

    The page has no script and asks the network for nothing: it can be mailed and archived.
    """
    with reporting(as_json, debug):
        from ...results.explanation import Explanation

        explanation = Explanation.load(saved)
        if axes is not None:
            explanation = explanation.with_labels(source, axes=axes)
        page = explanation.write_page(output or saved.with_suffix(".html"))
    if as_json:
        print_json({"ok": True, "files": [str(page)]})
    else:
        say(f"wrote {page}")
