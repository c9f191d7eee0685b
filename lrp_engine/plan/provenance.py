"""Record what a result depends on besides its inputs."""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch

from ..graphs.nodes import shape_text, target_name, value
from .plan import Plan


@dataclass(frozen=True)
class Provenance:
    """The versions, hashes and notes that a result depends on besides its inputs."""

    engine: str
    torch: str
    preset: str
    preset_hash: str
    graph_hash: str
    captured: str
    notes: tuple[str, ...]
    coverage: str
    dtype: str

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Provenance:
        """Return the provenance that `as_dict` wrote.

        Raises TypeError or KeyError if an entry is missing, TypeError if there is one too many.
        """
        return cls(**{**data, "notes": tuple(data["notes"])})


def provenance_of(plan: Plan) -> Provenance:
    """Return the versions and hashes of a plan."""
    captured = plan.captured
    lines = [f"{target_name(n)} {shape_text(value(n))} {n.args}" for n in captured.graph.nodes]
    return Provenance(
        engine=importlib.metadata.version("lrp-engine"),
        torch=torch.__version__,
        preset=plan.preset.name,
        preset_hash=plan.preset.hash,
        graph_hash=hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12],
        captured=captured.mode.name.lower(),
        notes=(*captured.notes, *(f"taken apart: {op}" for op in captured.taken_apart)),
        coverage=plan.coverage().line(),
        dtype=str(value(plan.output.node).dtype).removeprefix("torch."),
    )
