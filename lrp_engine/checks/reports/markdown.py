"""A Markdown summary, for $GITHUB_STEP_SUMMARY or a comment on a pull request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..finding import Report, Status
from .words import (
    format_measured,
    format_number,
    format_title,
    format_verdict,
)

_SIGNS = {
    Status.PASSED: "passed",
    Status.FAILED: "**FAILED**",
    Status.UNLIMITED: "no limit",
    Status.SKIPPED: "skipped",
}


def format_markdown(reports: Sequence[Report]) -> str:
    """Format a table per case, and the failed findings in full."""
    lines = ["## lrp check", "", format_verdict(reports), ""]
    for report in reports:
        lines += [f"### {_cell(format_title(report))}", "", *_table(report), ""]
        for finding in report.failed:
            lines += ["```", finding.text().replace("```", "'''"), "```", ""]
    return "\n".join(lines)


def _table(report: Report) -> Iterator[str]:
    yield "| check | result | measured | limit | |"
    yield "|---|---|---|---:|---|"
    for f in report.findings:
        cells = (f.check, _SIGNS[f.status], format_measured(f), format_number(f.limit), f.message)
        yield "| " + " | ".join(_cell(cell) for cell in cells) + " |"


def _cell(text: str) -> str:
    return text.replace("|", r"\|").replace("\n", " ")
