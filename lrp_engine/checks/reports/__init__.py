"""Reports as text: one file per format. A new format is one entry here and in `cli.choices`."""

from collections.abc import Callable, Mapping, Sequence

from ..finding import Report
from .github import format_github
from .json import format_json
from .junit import format_junit
from .markdown import format_markdown
from .terminal import format_terminal

Format = Callable[[Sequence[Report]], str]

FORMATS: Mapping[str, Format] = {
    "terminal": format_terminal,
    "json": format_json,
    "junit": format_junit,
    "github": format_github,
    "markdown": format_markdown,
}

__all__ = ["FORMATS", "Format"]
