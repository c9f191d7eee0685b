"""`lrp check`: does every op have a rule, and does every op's account balance?"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ..engine import Engine
from ..errors import ConservationError
from ..explanation import Explanation
from . import options as o
from .console import print_json, report, reporting, say
from .session import explained, imbalance, prepared
from .tables import balance_line, print_ledgers


def check(
    model: o.Model,
    inputs: o.Inputs = None,
    target: o.TargetText = None,
    target_json: o.TargetJson = None,
    position: o.Position = None,
    preset: o.PresetName = o.DEFAULT_PRESET,
    source: o.Sources = None,
    output_name: o.OutputName = None,
    tolerance: Annotated[
        float | None,
        typer.Option(min=0, help="Relative to an op's sum of |R|. Default: by the dtype."),
    ] = None,
    as_json: o.AsJson = False,
) -> None:
    """Check coverage and conservation. Exit code 0 only if every op's account balances."""
    wanted = o.target_of(target, target_json)
    with reporting(as_json):
        engine, given = prepared(model, inputs, preset, source, output_name)
        explanation = explained(engine, given, wanted, position)
    problem = imbalance(explanation, tolerance)
    if as_json:
        print_json(_as_json(engine, explanation, problem))
    else:
        say(explanation.provenance.coverage)
        print_ledgers({preset: explanation.ledger})
        say(f"ledger: {balance_line(explanation.ledger, tolerance)}")
    if problem:
        report(problem)
        raise typer.Exit(1)
    if not as_json:
        say("ok: every live op has a rule, and every account balances", "green")


def _as_json(
    engine: Engine, explanation: Explanation, problem: ConservationError | None
) -> dict[str, Any]:
    return {
        "ok": problem is None,
        "problem": str(problem) if problem else None,
        "coverage": engine.coverage().as_dict(),
        "ledger": explanation.ledger.as_dict(),
        "provenance": explanation.provenance.as_dict(),
    }
