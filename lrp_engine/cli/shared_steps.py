"""Steps that several commands share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..engine import Engine
from ..errors import ConservationError
from ..results.explanation import Explanation
from .array_files import load_inputs
from .bring_steps import bring
from .console import note, working
from .data_options import DataOptions
from .model_argument import load_model


def prepare(
    model: str,
    data: Sequence[str] | None,
    file: Path | None,
    said: DataOptions,
    settings: Mapping[str, object],
    options: Mapping[str, Any],
) -> tuple[Engine, object]:
    """Return an engine for the model that the user named, and the inputs to call it with.

    Where the model says what it reads, a made-up sample will do. The notes of the capture are
    printed.
    """
    brought = bring(model, data or [], file, said, settings, options, made_up=True)
    with working("capturing the model and planning"):
        ready = brought.subject.capture(brought.data)
    for text in ready.engine.captured.notes:
        note(text)
    return ready.engine, ready.batch.inputs


def read_reference(model: str, reference: str | None, settings: Mapping[str, object]) -> object:
    """Read what inputs are compared with: a number, or a file of arrays that the model takes."""
    if reference is None:
        return None
    try:
        return float(reference)
    except ValueError:
        return load_inputs(Path(reference), load_model(model, settings))


def imbalance(explanation: Explanation, tolerance: float | None = None) -> ConservationError | None:
    """Return the error that `Explanation.check` raises, or None if every account balances."""
    try:
        explanation.check(tolerance)
    except ConservationError as error:
        return error
    return None
