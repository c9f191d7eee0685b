"""Reports in every format say which check failed, where, and what to do."""

from __future__ import annotations

import json
from xml.etree import ElementTree as xml

import pytest

from lrp_engine.checks import (
    Finding,
    Place,
    Report,
    Status,
)
from lrp_engine.checks.reports import FORMATS

PLACE = Place("linear_3", "aten.linear.default", "layers.3.mlp", "Linear", "/home/me/model.py", 12)

REPORTS = (
    Report(
        "classifier",
        (
            Finding("coverage", Status.PASSED, "coverage: 4 of 4"),
            Finding(
                "residual",
                Status.FAILED,
                "received 1, passed on 0.9 | 100 %\nof it",
                float("inf"),
                1e-5,
                "of an op's sum of |R|",
                PLACE,
                "look at the rule",
                ("one", "two"),
            ),
            Finding("drift", Status.SKIPPED, "there is no golden result"),
        ),
    ),
    Report("other", (Finding("absorbed", Status.UNLIMITED, "bias: 0.1", 0.1),)),
)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_names_the_failure(name: str) -> None:
    text = FORMATS[name](REPORTS)
    assert "residual" in text
    assert "layers.3.mlp" in text
    assert "model.py" in text
    assert "look at the rule" in text


def test_json_is_strict() -> None:
    data = json.loads(FORMATS["json"](REPORTS), parse_constant=pytest.fail)
    assert data["ok"] is False
    finding = data["cases"][0]["findings"][1]
    assert finding["status"] == "failed"
    assert finding["measured"] is None
    assert finding["place"]["line"] == 12


def test_junit_counts() -> None:
    root = xml.fromstring(FORMATS["junit"](REPORTS))
    suite = root.find("testsuite")
    assert suite is not None
    counts = {k: suite.get(k) for k in ("tests", "failures", "skipped", "errors")}
    assert counts == {"tests": "3", "failures": "1", "skipped": "1", "errors": "0"}
    case = suite.findall("testcase")[1]
    assert (case.get("file"), case.get("line")) == ("/home/me/model.py", "12")
    failure = case.find("failure")
    assert failure is not None
    assert "what to do: look at the rule" in (failure.text or "")


def test_github_annotations_are_one_escaped_line_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_WORKSPACE", "/home/me")
    (line,) = FORMATS["github"](REPORTS).splitlines()
    assert line.startswith("::error file=model.py,line=12,title=lrp check%3A residual (classifier)")
    assert "100 %25%0Aof it" in line
    (notice,) = FORMATS["github"](REPORTS[1:]).splitlines()
    assert notice.startswith("::notice ")


def test_markdown_tables_are_whole() -> None:
    lines = FORMATS["markdown"](REPORTS).splitlines()
    rows = [line for line in lines if line.startswith("|")]
    assert all(row.replace(r"\|", "").count("|") == 6 for row in rows)


def test_terminal_has_no_colours_when_piped() -> None:
    text = FORMATS["terminal"](REPORTS)
    assert "\x1b" not in text
    assert text.splitlines()[-1] == "1 of 3 checks failed: classifier (residual)"
    assert FORMATS["terminal"](REPORTS[1:]).splitlines()[-1].startswith("ok: 1 checks")
