"""Read the papers behind the rules: `rules/references.bib` by key."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType

OWN = "own"  # what is cited that comes from no paper: "own", or "own: why it is right"

_ENTRY = re.compile(r"^@\w+\{(?P<key>[^,]+),.*?^\}", re.MULTILINE | re.DOTALL)
_FIELD = re.compile(r"(?P<name>\w+)\s*=\s*\{(?P<text>(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*)\}")


@dataclass(frozen=True)
class Paper:
    """One BibTeX entry."""

    key: str
    bibtex: str

    def field(self, name: str) -> str:
        """Return a field's text, without BibTeX's braces and accents."""
        found = {m["name"]: m["text"] for m in _FIELD.finditer(self.bibtex)}
        return re.sub(r"\\[`'\"^~=.]|[{}]", "", found.get(name, ""))

    def line(self) -> str:
        """Return first author, year, title and place in one line."""
        first, *others = self.field("author").split(" and ")
        name = first.split(",")[0] + (" et al." if others else "")
        where = self.field("journal") or self.field("booktitle") or self.field("note")
        return f"{name} ({self.field('year')}): {self.field('title')}. {where}"


@cache
def papers() -> Mapping[str, Paper]:
    """Return every paper by its key."""
    text = resources.files("lrp_engine.rules").joinpath("references.bib").read_text("utf-8")
    found = {m["key"].strip(): Paper(m["key"].strip(), m[0]) for m in _ENTRY.finditer(text)}
    return MappingProxyType(found)


def find_papers(references: Iterable[str]) -> tuple[Paper, ...]:
    """Return the papers that texts such as `bach2015, eq. 58` begin with, each once, in order."""
    keys = dict.fromkeys(text.split(",")[0].strip() for text in references)
    return tuple(papers()[key] for key in keys if key in papers())


def bibtex(references: Iterable[str]) -> str:
    """Return the BibTeX of the cited papers."""
    return "\n".join(paper.bibtex for paper in find_papers(references))
