"""Start cases of a file of checks whose data are texts, tables, sound or images."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..boundary.user_code import calling
from ..bring import Subject
from ..bring.data.sound import ENDINGS as SOUNDS
from ..bring.data.tables import ENDINGS as TABLES
from ..bring.data.texts import ENDINGS as TEXTS
from ..bring.ready import Ready
from ..checks.config import CheckCase
from ..checks.evidence import Given
from ..engine import Engine
from ..errors import InputError
from .model_argument import named_object


def engine_options(case: CheckCase) -> dict[str, Any]:
    """Return what a case says of its engine, as keywords."""
    return {
        "preset": case.path(case.preset) if case.preset.endswith(".toml") else case.preset,
        "sources": case.sources or None,
        "output": case.output,
        "rules": [named_object(rule) for rule in case.rules],
    }


def is_read_as_data(case: CheckCase) -> bool:
    """Return whether the inputs of a case are a file that a subject reads for any module."""
    return Path(case.inputs or "").suffix.lower() in (*TEXTS, *TABLES, *SOUNDS, ".npy")


def start_subject(case: CheckCase, model: Any) -> tuple[Engine, Iterator[Given]]:
    """Return the engine of a case, captured on its first batch, and all of its batches.

    Raises:
        InputError: the case names no inputs, or the model does not read them.
    """
    subject = Subject(model, **engine_options(case))
    asked = subject.ready_batches(
        _data_of(case), case.target, batch=case.batch or sys.maxsize, position=case.position
    )
    first = next(asked)
    return first.engine, map(_given, itertools.chain([first], asked))


def _given(ready: Ready) -> Given:
    return Given(ready.batch.inputs, ready.target, ready.position)


def _data_of(case: CheckCase) -> Any:
    if case.inputs is None:
        raise InputError(
            "this model brings no example: name its inputs, a file of texts (.txt), a table (.csv),"
            " sound, images, or module:function"
        )
    path = case.path(case.inputs)
    if ":" in case.inputs and not path.exists():
        found = named_object(case.inputs)
        with calling(case.inputs):
            return found() if callable(found) else found
    if not path.exists():
        raise InputError(f"there are no inputs {path}")
    return path
