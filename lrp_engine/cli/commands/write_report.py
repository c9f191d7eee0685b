"""`lrp report`: a page from saved explanations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ...errors import InputError
from .. import options as o
from ..console import print_json, reporting, say


def report(
    saved: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...", exists=True, dir_okay=False, help="What lrp explain --save wrote."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="The page to write. Default: beside the first FILE, .html."
        ),
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

    Of several files, each is a chapter.

    The page has no script and asks the network for nothing: it can be mailed and archived.
    """
    with reporting(as_json, debug):
        from ...results.book import write_page
        from ...results.explanation import Explanation

        found = [Explanation.load(file) for file in saved]
        if axes is not None:
            found = [explanation.with_labels(source, axes=axes) for explanation in found]
        path = output or saved[0].with_suffix(".html")
        names = [file.stem for file in saved]
        if len(found) == 1:
            page = found[0].write_page(path)
        elif len(set(names)) < len(names):
            raise InputError("two of the files have one name: chapters are named after them")
        else:
            page = write_page(path, dict(zip(names, found, strict=True)))
    if as_json:
        print_json({"ok": True, "files": [str(page)]})
    else:
        say(f"wrote {page}")
