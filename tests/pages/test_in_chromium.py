"""Pages in a browser: nothing is asked of the network, nothing is said on the console."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lrp_engine.show.page import write_fragment, write_page

from . import samples

pytestmark = pytest.mark.slow
AXE = Path(__file__).parents[2] / "web/node_modules/axe-core/axe.min.js"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
_WIDTHS, _THEMES = (1280, 375), ("light", "dark")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the extra `browser`")
    if CHROMIUM is None:
        pytest.skip("no chromium is installed: apt-get install chromium")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.mark.parametrize("kind", samples.KINDS)
def test_pages_ask_for_nothing_and_fit(browser: Any, tmp_path: Path, kind: str) -> None:
    page = tmp_path / "page.html"
    page.write_text(write_page(samples.KINDS[kind]()), "utf-8")
    for width in _WIDTHS:
        for theme in _THEMES:
            said, asked = _open(browser, page, width, theme)
            assert said == []
            assert asked == [page.as_uri()]


def _open(browser: Any, page: Path, width: int, theme: str) -> tuple[list[str], list[str]]:
    """Open a page, unfold all of it, and return what it said and what it asked for."""
    said: list[str] = []
    asked: list[str] = []
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=theme, java_script_enabled=True
    )
    tab = context.new_page()
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("request", lambda r: None if r.url.startswith("data:") else asked.append(r.url))
    tab.goto(page.as_uri())
    for summary in tab.locator("summary").all():
        summary.click()
        assert summary.bounding_box()["height"] >= 24
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    broken = "[...document.images].filter(i => !i.complete || !i.naturalWidth).length"
    assert tab.evaluate(broken) == 0
    paper = tab.evaluate("getComputedStyle(document.querySelector('.lrp')).backgroundColor")
    assert paper == ("rgb(255, 255, 255)" if theme == "light" else "rgb(21, 24, 28)")
    context.close()
    return said, asked


@pytest.mark.parametrize(
    "around, dark",
    [
        ('<body data-jp-theme-light="false">', True),
        ('<body data-jp-theme-light="true">', False),
        ('<body class="vscode-dark">', True),
        ("<body>", False),
    ],
)
def test_a_fragment_is_dark_where_its_notebook_is(browser: Any, around: str, dark: bool) -> None:
    tab = browser.new_page(color_scheme="dark")
    tab.set_content(f"<html>{around}{write_fragment(samples.words())}</body></html>")
    paper = tab.evaluate("getComputedStyle(document.querySelector('.lrp')).backgroundColor")
    assert paper == ("rgb(21, 24, 28)" if dark else "rgb(255, 255, 255)")
    tab.close()


def test_values_appear_at_the_pointer(browser: Any) -> None:
    tab = browser.new_page()
    tab.set_content(write_page(samples.words()))
    word = tab.locator(".words span", has_text="nurse")
    assert _tip(word) == "none"
    word.hover()
    assert "rank" in _tip(word)
    tab.close()


def _tip(word: Any) -> str:
    text: str = word.evaluate("e => getComputedStyle(e, '::after').content")
    return text


@pytest.mark.skipif(not AXE.exists(), reason="needs `npm ci` in web/")
@pytest.mark.parametrize("theme", _THEMES)
@pytest.mark.parametrize("kind", samples.KINDS)
def test_pages_can_be_read_by_all(browser: Any, kind: str, theme: str) -> None:
    """No violation of the rules of axe: contrast, names, order of headings, and so on."""
    tab = browser.new_page(color_scheme=theme, viewport={"width": 375, "height": 900})
    tab.set_content(write_page(samples.KINDS[kind]()))
    for summary in tab.locator("summary").all():
        summary.click()
    tab.evaluate(AXE.read_text("utf-8"))
    found = tab.evaluate("axe.run()")["violations"]
    assert [(v["id"], v["nodes"][0]["html"]) for v in found] == []
    tab.close()
