"""Record what a result depends on besides its inputs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch

from ..graphs.nodes import shape_text, target_name, value
from ..version import engine_version
from .plan import Plan


@dataclass(frozen=True)
class Provenance:
    """The versions, hashes and notes that a result depends on besides its inputs.

    `unreached` has a sentence for each input that influences the explained output and is explained
    nowhere, `cites` what the preset and the rules cite.
    """

    engine: str
    torch: str
    preset: str
    preset_hash: str
    graph_hash: str
    captured: str
    notes: tuple[str, ...]
    coverage: str
    dtype: str
    unreached: tuple[str, ...] = ()
    cites: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Provenance:
        """Return the provenance that `as_dict` wrote.

        Raises TypeError or KeyError if an entry is missing, TypeError if there is one too many.
        """
        lists = {name: tuple(data.get(name, ())) for name in ("unreached", "cites")}
        return cls(**{**data, "notes": tuple(data["notes"]), **lists})


def provenance_of(plan: Plan) -> Provenance:
    """Return the versions and hashes of a plan."""
    captured, coverage = plan.captured, plan.coverage()
    chosen = [plan.preset.reason] if plan.preset.reason else []
    apart = (f"taken apart: {op}" for op in captured.taken_apart)
    lines = [f"{target_name(n)} {shape_text(value(n))} {n.args}" for n in captured.graph.nodes]
    return Provenance(
        engine=engine_version(),
        torch=torch.__version__,
        preset=plan.preset.name,
        preset_hash=plan.preset.hash,
        graph_hash=hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12],
        captured=captured.mode.name.lower(),
        notes=(*chosen, *captured.notes, *apart, *map(str, coverage.unreached)),
        coverage=coverage.line(),
        dtype=str(value(plan.output.node).dtype).removeprefix("torch."),
        unreached=tuple(map(str, coverage.unreached)),
        cites=(*plan.preset.cites, *dict.fromkeys(a.rule.cites for a in plan.assignments)),
    )
