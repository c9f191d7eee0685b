"""JUnit XML, which CI systems show as a list of tests."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree as xml

from ..finding import Finding, Report, Status
from .words import format_measured, format_title


def format_junit(reports: Sequence[Report]) -> str:
    """Format one suite per case, with one test per check."""
    root = xml.Element("testsuites", name="lrp check")
    for report in reports:
        suite = xml.SubElement(
            root,
            "testsuite",
            name=format_title(report),
            tests=str(len(report.findings)),
            failures=str(len(report.failed)),
            skipped=str(sum(f.status is Status.SKIPPED for f in report.findings)),
            errors="0",
        )
        for finding in report.findings:
            _case(suite, report, finding)
    xml.indent(root)
    return xml.tostring(root, encoding="unicode", xml_declaration=True)


def _case(suite: xml.Element, report: Report, finding: Finding) -> None:
    place = finding.place
    where = {"file": place.file, "line": str(place.line)} if place and place.file else {}
    about = {"classname": f"lrp.{report.name}", "name": finding.check}
    case = xml.SubElement(suite, "testcase", {**about, **where})
    if finding.status is Status.FAILED:
        failure = xml.SubElement(case, "failure", message=_clean(finding.message), type="budget")
        failure.text = _clean(finding.text())
    elif finding.status is Status.SKIPPED:
        xml.SubElement(case, "skipped", message=_clean(finding.message))
    else:
        xml.SubElement(case, "system-out").text = _clean(
            f"{finding.message} {format_measured(finding)}"
        )


def _clean(text: str) -> str:
    """Drop control characters, which XML 1.0 does not have."""
    return "".join(c for c in text if c >= " " or c in "\n\t")
