"""`lrp demo`: explain pretrained models on real inputs, and digits that no one trained on."""

from __future__ import annotations

import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...errors import InputError, LrpError, suggest
from ..console import note, print_table, reporting, say, working
from ..options import Debug
from ..tables import balance_line, print_ledgers

if TYPE_CHECKING:
    from ...demo.run_exhibit import Shown
    from ...results.explanation import Explanation

PRESETS = ("epsilon", "gradient")
DIGITS = "digits"
ABOUT_GRADIENT = (
    "relevance under the preset gradient is gradient times image; in a net of ReLUs that agrees"
    " with epsilon up to the stabiliser. The picture shows the gradient alone."
)


def demo(
    output: Annotated[
        Path, typer.Option(file_okay=False, help="Folder for the page and the pictures.")
    ] = Path("lrp-demo"),
    file: Annotated[
        list[Path] | None,
        typer.Option(
            exists=True, dir_okay=False, help="A file of yours: which bytes say what it is?"
        ),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="notes, speech, bytes, face or digits. Default: all."),
    ] = None,
    open_page: Annotated[bool, typer.Option("--open", help="Show the page.")] = False,
    debug: Debug = False,
) -> None:
    """Explain pretrained models: notes in music, speech, bytes of files, digits.

    Everything is in the package, licences and credits too, and nothing is fetched. A face in a
    photograph is shown as well where facenet-pytorch is installed.
    """
    with reporting(debug=debug):
        _require_extra()
        wanted = _wanted(only)
        shown = _run_exhibits(wanted, file or [])
        output.mkdir(parents=True, exist_ok=True)
        digits = _run_digits(output) if DIGITS in wanted else None
        page = _write(output, shown, digits)
    if open_page:
        webbrowser.open(page.resolve().as_uri())


def _wanted(only: Sequence[str] | None) -> list[str]:
    from ...demo.exhibits import EXHIBITS

    known = [*(exhibit.name for exhibit in EXHIBITS), DIGITS]
    for name in only or ():
        if name not in known:
            raise InputError(f"--only {name}: the demo has no such part{suggest(name, known)}")
    return list(only or known)


def _run_exhibits(wanted: Sequence[str], files: Sequence[Path]) -> list[Shown]:
    from ...demo.exhibits import EXHIBITS
    from ...demo.page import table_of_falls
    from ...demo.run_exhibit import run_exhibit

    found = []
    for exhibit in EXHIBITS:
        if exhibit.name not in wanted:
            continue
        if missing := exhibit.missing():
            note(f"{exhibit.name} is left out: {missing}")
            continue
        with working(f"{exhibit.name}: explaining with preset {exhibit.preset}"):
            shown = run_exhibit(exhibit, files)
        say(f"\n{exhibit.title}", "bold")
        say(exhibit.about)
        falls = table_of_falls(shown)
        print_table(falls.title, falls.head, falls.rows)
        say(" ".join(falls.notes))
        for credit in exhibit.credits:
            say(credit.line())
        found.append(shown)
    return found


def _run_digits(output: Path) -> Explanation:
    """Explain the digits, and draw their sheet."""
    from ...demo import digit_cases

    with working("reading the digits"):
        digits = digit_cases.load_held_out()
        chosen = digit_cases.choose_cases(digits)
    say(f"\n{digits.summary()}")
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
    with working("drawing the digits"):
        path = digit_cases.draw_sheet(digits, chosen, explained, output / "digits.png")
    say(f"digits: {path.resolve()}")
    return explained[PRESETS[0]]


def _write(output: Path, shown: Sequence[Shown], digits: Explanation | None) -> Path:
    """Write the page, and the picture of the exhibits; return the page's path."""
    from ...demo.page import draw_demo, write_demo_page

    with working("writing the page"):
        page = write_demo_page(output / "demo.html", shown, digits)
    say(f"page: {page.resolve()}", "bold")
    if shown:
        with working("drawing"):
            picture = draw_demo(output / "demo.png", shown)
        say(f"picture: {picture.resolve()}", "bold")
    return page


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
