"""Run an exhibit: explain its cases, and test the explanations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ..engine import Engine
from ..results.explanation import Explanation
from .deletion_test import Fall, measure_falls
from .exhibit import Case, Exhibit
from .inner_run import InnerRun


@dataclass(frozen=True)
class Finding:
    """One case, its explanation, and what is left without what it calls important."""

    case: Case
    explanation: Explanation
    falls: Sequence[Fall]


@dataclass(frozen=True)
class Shown:
    """An exhibit with what was found."""

    exhibit: Exhibit
    findings: Sequence[Finding]


def run_exhibit(exhibit: Exhibit, files: Sequence[Path] = ()) -> Shown:
    """Explain the cases of an exhibit, and check every explanation.

    Args:
        exhibit: What is shown; nothing that it needs is missing.
        files: Of the user's, for the exhibits that show any.

    Raises:
        LrpError: An explanation does not balance.
    """
    cases = exhibit.cases(files)
    engine = Engine(
        exhibit.model(),
        cases[0].inputs,
        output=exhibit.output,
        sources=[exhibit.source],
        preset=exhibit.preset,
        dynamic=False,
    )
    rival = engine.with_preset(exhibit.deletion.rival)
    return Shown(exhibit, [_find(exhibit, case, engine, rival) for case in cases])


def _find(exhibit: Exhibit, case: Case, engine: Engine, rival: Engine) -> Finding:
    run = InnerRun(engine, case.inputs)
    target = case.ask(run.explained)
    explanation = engine.explain(case.inputs, target, ledger=True).check()
    rankings = {
        exhibit.preset: _entries(case, explanation),
        exhibit.deletion.rival: _entries(case, rival.explain(case.inputs, target)),
    }
    if exhibit.deletion.loudest:
        rankings["loudest"] = run.held
    falls = measure_falls(run, case, target, rankings, exhibit.deletion)
    return Finding(case, case.tell(explanation, run.held), falls)


def _entries(case: Case, explanation: Explanation) -> Tensor:
    (relevance,) = explanation.relevance.values()
    return case.entries(relevance)
