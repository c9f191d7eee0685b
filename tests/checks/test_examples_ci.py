"""The repository in examples/ci passes, and each of its broken changes is caught as promised."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lrp_engine.checks import CHECKS
from lrp_engine.checks.config import CheckCase, read_cases
from lrp_engine.cli.check_cases import run_case

FOLDER = Path(__file__).parents[2] / "examples" / "ci"
CHANGES = read_cases(FOLDER / "changes.toml")


@pytest.fixture(autouse=True)
def _in_the_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its presets extend one another by file name."""
    monkeypatch.chdir(FOLDER)
    monkeypatch.setattr(sys, "path", list(sys.path))


def test_the_sound_model_passes_every_check() -> None:
    (case,) = read_cases(FOLDER / "lrp.toml")
    report = run_case(case)
    assert report.ok, report.text()
    assert [finding.status.name for finding in report.findings] == ["PASSED"] * len(CHECKS)


def test_there_is_a_change_for_every_check() -> None:
    never_fail = {"randomness"}  # it reports what the model draws, and has no limit
    assert {case.name.partition(":")[0] for case in CHANGES} == set(CHECKS) - never_fail


def test_changes_meet_the_budget_of_the_sound_model() -> None:
    (case,) = read_cases(FOLDER / "lrp.toml")
    assert all(change.budget == case.budget for change in CHANGES)


@pytest.mark.parametrize("case", CHANGES, ids=lambda case: case.name)
def test_change_is_caught(case: CheckCase) -> None:
    report = run_case(case)
    caught, _, _ = case.name.partition(":")
    (finding,) = [f for f in report.failed if f.check == caught]
    # What fails beside it is drift, which is what a golden result is for.
    assert {f.check for f in report.failed} - {caught} <= {"plan drift", "drift"}
    if caught != "drift":
        assert finding.place is not None
        assert finding.place.file
    assert finding.advice
