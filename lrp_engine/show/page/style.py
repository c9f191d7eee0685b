"""Write the style sheet: the rules of page.css, with the colours of both themes."""

from __future__ import annotations

from functools import cache
from importlib import resources

from ...markup import Markup
from ..colours import DARK, LEVELS, LIGHT, Theme, colour_at, hex_code, text_on
from .palette import class_of

# Where notebooks say that they are dark: JupyterLab, Colab, VS Code.
_DARK_NOTEBOOKS = (
    "[data-jp-theme-light=false] .lrp",
    "html[theme=dark] .lrp",
    ".vscode-dark .lrp",
    ".vscode-high-contrast:not(.vscode-high-contrast-light) .lrp",
)
_LINE = {LIGHT: "#d5d9de", DARK: "#3a414b"}
_RAISED = {LIGHT: "#f6f7f8", DARK: "#232830"}


@cache
def page_style() -> Markup:
    """Return the style of a page of its own: dark where the reader's system is."""
    dark = (
        f"@media (prefers-color-scheme: dark) {{ :root {{ color-scheme: dark }} {_dark('.lrp')} }}"
    )
    body = f"html {{ background: {LIGHT.paper} }} body {{ margin: 0 }}"
    night = f"@media (prefers-color-scheme: dark) {{ html {{ background: {DARK.paper} }} }}"
    return _style(body, night, dark)


@cache
def fragment_style() -> Markup:
    """Return the style of a piece of HTML in a notebook: dark where the notebook is."""
    return _style(_dark(", ".join(_DARK_NOTEBOOKS)))


def _style(*more: str) -> Markup:
    """Return the style element. Our own text alone is in it, so nothing has to be escaped."""
    rules = resources.files(__package__ or "").joinpath("page.css").read_text("utf-8")
    return Markup("\n".join(["<style>", _light(), rules.strip(), _words(), *more, "</style>"]))


def _light() -> str:
    return f".lrp {{ {_variables(LIGHT)} }}"


def _dark(where: str) -> str:
    return f"{where} {{ {_variables(DARK)} }}"


def _variables(theme: Theme) -> str:
    named = {
        "ink": theme.ink,
        "quiet": theme.quiet,
        "paper": theme.paper,
        "line": _LINE[theme],
        "raised": _RAISED[theme],
        "for": theme.speaks_for,
        "against": theme.speaks_against,
        "absorbed": theme.absorbed,
        "focus": theme.speaks_against,
    }
    for level in range(-LEVELS, LEVELS + 1):
        colour = colour_at(level / LEVELS, theme)
        named[class_of(level)] = hex_code(colour)
        named[f"{class_of(level)}-text"] = text_on(colour)
    return " ".join(f"--{name}: {value};" for name, value in named.items())


def _words() -> str:
    names = [class_of(level) for level in range(-LEVELS, LEVELS + 1)]
    return "\n".join(
        f".lrp .{n} {{ background: var(--{n}); color: var(--{n}-text); }}" for n in names
    )
