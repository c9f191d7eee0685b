"""Hold what a user says of how data become a model's inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Hints:
    """Hold what was said beside the model; None: nothing. The arguments are those of `Subject`."""

    tokenizer: Any = None
    transform: Callable[[Any], Any] | None = None
    classes: Sequence[str] | Mapping[int, str] | None = None
    features: Sequence[str] | None = None
    axes: str | Sequence[str] | None = None
    rate: float | None = None
    candidates: Sequence[str] | None = None
    pooling: str | None = None
    truncate: bool = False
