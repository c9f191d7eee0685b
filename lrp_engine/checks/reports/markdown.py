"""A Markdown summary, for $GITHUB_STEP_SUMMARY or a comment on a pull request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..finding import Report, Status
from .words import (
    measured,
    number,
    title,
    verdict,
)

_SIGNS = {
    Status.PASSED: "passed",
    Status.FAILED: "**FAILED**",
    Status.UNLIMITED: "no limit",
    Status.SKIPPED: "skipped",
}


def markdown(reports: Sequence[Report]) -> str:
    """A table per case, and what failed in full."""
    lines = ["## lrp check", "", verdict(reports), ""]
    for report in reports:
        lines += [f"### {_cell(title(report))}", "", *_table(report), ""]
        for finding in report.failed:
            lines += ["```", finding.text().replace("```", "'''"), "```", ""]
    return "\n".join(lines)


def _table(report: Report) -> Iterator[str]:
    yield "| check | result | measured | limit | |"
    yield "|---|---|---|---:|---|"
    for f in report.findings:
        cells = (f.check, _SIGNS[f.status], measured(f), number(f.limit), f.message)
        yield "| " + " | ".join(_cell(cell) for cell in cells) + " |"


def _cell(text: str) -> str:
    return text.replace("|", r"\|").replace("\n", " ")
