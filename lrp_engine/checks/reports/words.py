"""Format the numbers of findings, the same in every kind of report."""

from __future__ import annotations

from collections.abc import Sequence

from ..finding import Finding, Report


def format_number(value: float | None) -> str:
    """Return three digits; a dash if there is no number."""
    return "-" if value is None else f"{value:.3g}"


def format_measured(finding: Finding) -> str:
    """Return the measured number with its unit; empty if there is none."""
    if finding.measured is None:
        return ""
    return f"{format_number(finding.measured)} {finding.unit}".strip()


def format_title(report: Report) -> str:
    """Return the model's name, the preset, the number of samples and the dtype."""
    about = report.provenance
    if about is None:
        return report.name
    return f"{report.name}: preset {about.preset}, {report.samples} samples, {about.dtype}"


def format_verdict(reports: Sequence[Report]) -> str:
    """Return the line that sums up all reports."""
    failed = sum(len(report.failed) for report in reports)
    ran = sum(f.status.name != "SKIPPED" for report in reports for f in report.findings)
    if failed:
        names = [f"{r.name} ({', '.join(f.check for f in r.failed)})" for r in reports if not r.ok]
        return f"{failed} of {ran} checks failed: {', '.join(names)}"
    return f"ok: {ran} checks of {len(reports)} model(s) passed or had no limit"
