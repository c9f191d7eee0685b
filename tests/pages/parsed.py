"""Read a page back: its elements, its text, and whether every element is closed."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

_VOID = {"br", "col", "img", "link", "meta"}


@dataclass
class Parsed(HTMLParser):
    """The elements of a page in order, and the text outside of its style."""

    elements: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    open: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names), f"an attribute twice in <{tag}>: {names}"
        self.elements.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return "".join(self.texts)

    def find(self, tag: str, **attributes: str) -> list[dict[str, str | None]]:
        """Return the attributes of the elements of a kind, with a CSS class if one is named."""
        kind = attributes.get("class_")
        return [
            found
            for name, found in self.elements
            if name == tag and (kind is None or kind in (found.get("class") or "").split())
        ]


def parse(html: str) -> Parsed:
    """Parse a page or a piece of one; every element has to be closed."""
    parsed = Parsed()
    parsed.feed(html)
    parsed.close()
    assert parsed.open == []
    return parsed
