"""Hold a batch with what is asked of it, ready for an engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..engine import Engine
from ..run.target import Position
from .batch import Batch


@dataclass(frozen=True)
class Ready:
    """An engine, and what it is to be called with.

    Args:
        engine: The model, captured.
        batch: The data as the model takes them, with what people call them.
        target: As for `Engine.explain`, with numbers in the place of names.
        position: As for `Engine.explain`, with numbers in the place of words.
    """

    engine: Engine
    batch: Batch
    target: Any = None
    position: Position = None
