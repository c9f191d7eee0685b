"""Write several explanations as one page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..boundary.writing import require_ending, write_text
from ..errors import InputError
from ..show.page import Book, Chapter, write_book
from .page_content import content_of
from .told import Told


def write_page(
    path: str | Path, explanations: Mapping[str, Told], *, title: str = "Explanations"
) -> Path:
    """Write several explanations as one page, a chapter each, and return its path.

    Each tells what `Explanation.write_page` tells; what it rests on opens at a click. The page has
    no script and fetches nothing. At most 15 MB; what is left out is said.

    Args:
        path: Of the page, `.html` or `.htm`.
        explanations: By the title of the chapter. Of any models, presets and kinds of data.
        title: Of the page.

    Raises:
        InputError: There is no explanation, or the path does not end in `.html` or `.htm`.

    Example:
        >>> import tempfile, torch, lrp_engine as lrp
        >>> net, x = torch.nn.Linear(2, 2).eval(), torch.ones(1, 2)
        >>> both = {f"class {k}": lrp.explain(net, x, k) for k in (0, 1)}
        >>> lrp.write_page(f"{tempfile.mkdtemp()}/both.html", both).name
        'both.html'
    """
    if not explanations:
        raise InputError("a page needs one explanation or more, and there is none")
    chapters = [
        Chapter(name, [content_of(explanation, compute=True)])
        for name, explanation in explanations.items()
    ]
    page = write_book(Book(title, chapters))
    return write_text(require_ending(path, [".html", ".htm"]), page)
