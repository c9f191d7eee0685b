"""Write HTML elements: text is escaped, and only `Markup` is not."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape

_VOID = frozenset({"br", "col", "img", "link", "meta"})
# Controls but tab and line feed, and halves of surrogate pairs: no file of HTML can hold them.
_UNWRITABLE: re.Pattern[str] = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


class Markup(str):
    """HTML that is written as it stands. Any other text is escaped where it is put in."""

    __slots__ = ()


def element(tag: str, /, *content: str, **attributes: str | float | None) -> Markup:
    """Write one element.

    Args:
        tag: Its name.
        content: What is inside, in order; what is not `Markup` is escaped.
        attributes: Those of the tag; `_` stands for `-`, and one at the end is dropped (`class_`).
            None leaves an attribute out.

    Example:
        >>> element("p", "a < b", element("b", "c"), class_="note")
        '<p class="note">a &lt; b<b>c</b></p>'
    """
    opened = f"<{tag}{''.join(map(_attribute, attributes, attributes.values()))}>"
    if tag in _VOID:
        return Markup(opened)
    return Markup(f"{opened}{join(content)}</{tag}>")


def join(content: Iterable[str], between: str = "") -> Markup:
    """Return pieces in a row; what is not `Markup` is escaped."""
    return Markup(_safe(between).join(map(_safe, content)))


def quote(text: str) -> Markup:
    """Return a text of the user's, apart from the direction in which the text around it runs."""
    return element("bdi", text)


def count_elements(html: str) -> int:
    """Return how many elements HTML written by `element` has: no text in it has a `<`."""
    return html.count("<") - html.count("</") - html.count("<!")


def _attribute(name: str, value: str | float | None) -> str:
    if value is None:
        return ""
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return f' {name.rstrip("_").replace("_", "-")}="{escape(_writable(text))}"'


def _safe(text: str) -> str:
    return text if isinstance(text, Markup) else escape(_writable(text))


def _writable(text: str) -> str:
    """Return the text with a replacement sign for what a file cannot hold."""
    return _UNWRITABLE.sub("\N{REPLACEMENT CHARACTER}", text)
