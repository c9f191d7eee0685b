"""Steps that several commands share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..engine import Engine
from ..errors import ConservationError
from ..results.explanation import Explanation
from ..run.target import Target
from .array_files import load_inputs
from .console import note, working
from .model_argument import load_model


def prepare(
    model: str,
    file: Path | None,
    preset: str,
    sources: Sequence[str] | None,
    output: str | None,
    settings: Mapping[str, object],
) -> tuple[Engine, object]:
    """Return an engine for the model that the user named, and the inputs to call it with.

    The notes of the capture are printed.
    """
    with working("loading the model"):
        loaded = load_model(model, settings)
        inputs = load_inputs(file, loaded)
    with working("capturing the model and planning"):
        engine = Engine(loaded.model, inputs, preset=preset, sources=sources or None, output=output)
    for text in engine.captured.notes:
        note(text)
    return engine, inputs


def read_reference(model: str, reference: str | None, settings: Mapping[str, object]) -> object:
    """Read what inputs are compared with: a number, or a file of arrays that the model takes."""
    if reference is None:
        return None
    try:
        return float(reference)
    except ValueError:
        return load_inputs(Path(reference), load_model(model, settings))


def explain(
    engine: Engine,
    inputs: object,
    target: Target,
    position: int | None,
    seed: int | None = None,
    reference: object = None,
) -> Explanation:
    """Explain one batch, with the ledger; `seed` is that of the model's random draws."""
    with working("explaining"):
        return engine.explain(
            inputs, target, position=position, ledger=True, seed=seed, reference=reference
        )


def imbalance(explanation: Explanation, tolerance: float | None = None) -> ConservationError | None:
    """Return the error that `Explanation.check` raises, or None if every account balances."""
    try:
        explanation.check(tolerance)
    except ConservationError as error:
        return error
    return None
