"""GitHub annotations: one `::error` per failed check, at the line of the model's source."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ..finding import Finding, Report
from .words import format_verdict


def format_github(reports: Sequence[Report]) -> str:
    """Format the failures as workflow commands; a notice if there are none."""
    lines = [_error(report, finding) for report in reports for finding in report.failed]
    return "\n".join(lines or [f"::notice title=lrp check::{_data(format_verdict(reports))}"])


def _error(report: Report, finding: Finding) -> str:
    place = finding.place
    fields = {"title": f"lrp check: {finding.check} ({report.name})"}
    if place and place.file:
        fields = {"file": _relative(place.file), "line": str(place.line)} | fields
    properties = ",".join(f"{name}={_property(text)}" for name, text in fields.items())
    return f"::error {properties}::{_data(finding.text())}"


def _relative(file: str) -> str:
    """Return a path from the root of the checkout, as GitHub wants it."""
    root = Path(os.environ.get("GITHUB_WORKSPACE", "."))
    try:
        return str(Path(file).resolve().relative_to(root.resolve()))
    except ValueError:
        return file


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
