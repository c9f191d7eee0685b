"""Pages hold what they promise: pictures with words, tables, no script, nothing fetched."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lrp_engine.markup import count_elements
from lrp_engine.show.colours import DARK, LEVELS, LIGHT, Theme, colour_at, contrast, rgb, text_on
from lrp_engine.show.page import write_fragment, write_page
from lrp_engine.show.page.heat_map import strongest
from lrp_engine.show.page.palette import levels, map_palette
from lrp_engine.show.page.png import colour_png, palette_png

from . import samples
from .parsed import parse

GOLDEN = Path(__file__).parents[1] / "golden" / "pages"
_ACTIVE = {"script", "iframe", "object", "embed", "link", "form", "base"}


@pytest.mark.parametrize("kind", samples.KINDS)
def test_a_page_is_whole_and_fetches_nothing(kind: str) -> None:
    page = write_page(samples.KINDS[kind]())
    parsed = parse(page)
    assert not _ACTIVE & {tag for tag, _ in parsed.elements}
    for _, attributes in parsed.elements:
        assert not [name for name in attributes if name.startswith("on") or name in ("style", "id")]
        assert (attributes.get("src") or "data:").startswith("data:")
    assert not re.search(r"url\(|@import|https?://", page)
    assert count_elements(page) == len(parsed.elements)


@pytest.mark.parametrize("kind", samples.KINDS)
def test_every_picture_has_words_and_a_table(kind: str) -> None:
    parsed = parse(write_page(samples.KINDS[kind]()))
    silent = [a for a in parsed.find("img") if not a["alt"]]
    assert len(silent) <= len(parsed.find("div", class_="legend"))  # the bars of legends
    assert all(a["aria-hidden"] == "true" for a in parsed.find("svg"))
    assert re.search(r"Values of x: \d+ of \d+", parsed.text)
    assert {"h1", "h2", "main"} <= {tag for tag, _ in parsed.elements}


def test_a_page_tells_what_it_knows() -> None:
    text = parse(write_page(samples.words())).text
    for said in (
        'why "yes"? logit 2.00',
        "epsilon, data, file 0.png, truth yes",
        "arrived 75 %",
        "bias 25 %",
        "yes explained",
        "nurse",
        "[PAD] ×2",
        "From the output to the inputs",
        "what check() said",
        "a note of the labels",
        "Bach et al. (2015)",
    ):
        assert said in text


def test_words_have_their_pieces_at_the_pointer() -> None:
    parsed = parse(write_page(samples.words()))
    tips = [a["data-tip"] for a in parsed.find("span") if "data-tip" in a]
    (nurse,) = [tip for tip in tips if tip and tip.startswith("nurse ")]
    assert re.fullmatch(
        r"nurse [+−][\d.]+, [\d.]+ % of \|R\|, rank \d; nur [+−][\d.]+, se [+−][\d.]+", nurse
    )


def test_probabilities_are_not_taken_for_logits() -> None:
    content = samples.table()
    assert "softmax" in parse(write_page(content)).text
    shares = content.scores.softmax(1)
    text = parse(write_page(replace(content, scores=shares))).text
    assert "probability" in text
    assert "softmax" not in text


def test_what_does_not_balance_is_said() -> None:
    parsed = parse(write_page(samples.unknown()))
    assert "does not balance" in parsed.text
    assert parsed.find("p", class_="wrong")
    assert "The axes of this source are unknown" in parsed.text
    assert "does not balance" not in parse(write_page(samples.table())).text


def test_a_fragment_follows_the_theme_of_its_notebook() -> None:
    fragment = write_fragment(samples.words())
    for place in ("[data-jp-theme-light=false] .lrp", "html[theme=dark] .lrp", ".vscode-dark .lrp"):
        assert place in fragment
    assert "prefers-color-scheme" not in fragment
    assert "prefers-color-scheme: dark" in write_page(samples.words())
    assert not parse(fragment).find("html")


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_text_is_readable_on_every_colour(theme: Theme) -> None:
    for level in range(-LEVELS, LEVELS + 1):
        colour = colour_at(level / LEVELS, theme)
        assert contrast(colour, rgb(text_on(colour))) >= 4.5
    for code in (theme.ink, theme.quiet, theme.speaks_for, theme.speaks_against, theme.absorbed):
        assert contrast(rgb(code), rgb(theme.paper)) >= 4.5


def test_png_files_are_read_as_they_were_written() -> None:
    plane = samples.pattern(5, 7)
    limit = float(plane.abs().max())
    indices, palette = levels(plane, limit, 255), map_palette(255)
    found = Image.open(io.BytesIO(palette_png(indices, palette)))
    assert found.mode == "P"
    np.testing.assert_array_equal(np.asarray(found.convert("RGB")), np.array(palette)[indices])
    pixels = (samples.pattern(5, 7, 3) * 97).numpy().astype(np.int64).astype(np.uint8)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(colour_png(pixels)))), pixels)
    with pytest.raises(TypeError):
        palette_png(indices.astype(np.int64), palette)  # type: ignore[arg-type]


def test_a_map_says_where_it_is_strongest() -> None:
    plane = samples.pattern(3, 4) * 0
    assert strongest(plane) == "zero everywhere"
    plane[1, 2] = 3.0
    assert strongest(plane) == "most for at row 1, column 2"


@pytest.mark.parametrize("kind", ["words", "table"])
def test_two_runs_write_the_same_bytes(kind: str) -> None:
    page = write_page(samples.KINDS[kind]())
    stored = (GOLDEN / f"{kind}.html").read_text("utf-8")
    assert page == stored, "if that is on purpose: python -m tests.pages.test_structure"


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for name in ("words", "table"):
        (GOLDEN / f"{name}.html").write_text(write_page(samples.KINDS[name]()), "utf-8")
