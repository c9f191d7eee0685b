"""Numbers of findings in words, the same in every format."""

from __future__ import annotations

from collections.abc import Sequence

from ..finding import Finding, Report


def number(value: float | None) -> str:
    """Three digits; a dash where there is none."""
    return "-" if value is None else f"{value:.3g}"


def measured(finding: Finding) -> str:
    """What was measured, with its unit."""
    if finding.measured is None:
        return ""
    return f"{number(finding.measured)} {finding.unit}".strip()


def title(report: Report) -> str:
    """Which model, under which preset, on how many samples."""
    about = report.provenance
    if about is None:
        return report.name
    return f"{report.name}: preset {about.preset}, {report.samples} samples, {about.dtype}"


def verdict(reports: Sequence[Report]) -> str:
    """The last line."""
    failed = sum(len(report.failed) for report in reports)
    ran = sum(f.status.name != "SKIPPED" for report in reports for f in report.findings)
    if failed:
        names = [f"{r.name} ({', '.join(f.check for f in r.failed)})" for r in reports if not r.ok]
        return f"{failed} of {ran} checks failed: {', '.join(names)}"
    return f"ok: {ran} checks of {len(reports)} model(s) passed or had no limit"
