"""Hold what is asked for in one explanation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import InputError
from .target import Position, Target, is_class, is_rows


@dataclass(frozen=True)
class Request:
    """The request for one explanation; the fields are those of `Engine.explain`."""

    target: Target = None
    position: Position = None
    ledger: bool = False
    create_graph: bool = False
    full_output: bool | None = None
    seed: int | None = None
    reference: Any = None

    def __post_init__(self) -> None:
        if self.full_output is False and (self.ledger or self.create_graph):
            raise InputError("full_output=False goes with neither ledger nor create_graph")
        if self.create_graph and self.reference is not None:
            raise InputError("create_graph goes with presets of one run, not with a reference")

    @property
    def may_skip_rows(self) -> bool:
        """True if one row per sample says everything that is asked for."""
        whole = self.ledger or self.create_graph
        return not whole and is_class(self.target) and is_rows(self.position)
