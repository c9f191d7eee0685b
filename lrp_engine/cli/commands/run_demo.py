"""`lrp demo`: explain real handwritten digits that the shipped classifier never saw."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from ...errors import LrpError
from ..console import reporting, say, working
from ..options import Debug
from ..tables import balance_line, print_ledgers

PRESETS = ("epsilon", "gradient")
ABOUT_GRADIENT = (
    "relevance under the preset gradient is gradient times image; in a net of ReLUs that agrees"
    " with epsilon up to the stabiliser. The picture shows the gradient alone."
)


def demo(
    output: Annotated[Path, typer.Option(file_okay=False, help="Folder for the picture.")] = Path(
        "lrp-demo"
    ),
    open_picture: Annotated[bool, typer.Option("--open", help="Show the picture.")] = False,
    debug: Debug = False,
) -> None:
    """Explain handwritten digits with a small trained network, on one sheet of heat maps."""
    with reporting(debug=debug):
        _require_extra()
        from ...demo import digit_cases

        with working("reading the digits"):
            digits = digit_cases.load_held_out()
            chosen = digit_cases.choose_cases(digits)
        say(digits.summary())
        explained = {}
        for preset in PRESETS:
            with working(f"explaining with preset {preset}"):
                explained[preset] = digit_cases.explain_cases(digits, chosen, preset)
        print_ledgers({name: e.ledger for name, e in explained.items()})
        for name, e in explained.items():
            e.check()
            say(f"{name}: {balance_line(e.ledger)}")
        say(explained[PRESETS[0]].provenance.coverage)
        say(ABOUT_GRADIENT)
        with working("drawing"):
            path = digit_cases.draw_sheet(digits, chosen, explained, output / "digits.png")
        say(f"picture: {path.resolve()}", "bold")
    if open_picture:
        webbrowser.open(path.resolve().as_uri())


def _require_extra() -> None:
    """Raise LrpError if a package that only the demo needs is not installed."""
    try:
        import matplotlib  # noqa: F401
        import sklearn  # noqa: F401
    except ImportError as error:
        raise LrpError(
            f"the demo needs {error.name}, which is not installed."
            " Install what the demo needs: pip install scikit-learn matplotlib"
        ) from error
