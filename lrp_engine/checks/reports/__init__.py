"""Reports as text: one file per format. A new format is one entry here."""

from collections.abc import Callable, Mapping, Sequence

from ..finding import Report
from .github import github
from .json import as_json
from .junit import junit
from .markdown import markdown
from .terminal import terminal

Format = Callable[[Sequence[Report]], str]

FORMATS: Mapping[str, Format] = {
    "terminal": terminal,
    "json": as_json,
    "junit": junit,
    "github": github,
    "markdown": markdown,
}

__all__ = ["FORMATS", "Format"]
