"""Findings and reports: what a check measured, the op that breaks a limit, and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum

from torch import fx

from ..graphs.nodes import Origin, origin, target_name
from ..plan.provenance import Provenance
from ..propagate.ledger import Ledger


class Status(Enum):
    """The outcome of a check."""

    PASSED = "passed"
    FAILED = "FAILED"
    UNLIMITED = "no limit"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Place:
    """One op of the model: its node in the graph, its module, the source line that wrote it."""

    node: str
    op: str
    module: str
    module_type: str
    file: str
    line: int

    @classmethod
    def of(cls, node: fx.Node) -> Place:
        """Locate a node of the captured graph in the model and its source code."""
        return cls.at(node.name, target_name(node), origin(node))

    @classmethod
    def at(cls, node: str, op: str, found: Origin) -> Place:
        """Locate an op by the name of its node and where it comes from."""
        file, _, line = found.source.rpartition(":")
        return cls(
            node=node,
            op=op,
            module=found.module,
            module_type=found.module_type,
            file=file,
            line=int(line) if line.isdigit() else 0,
        )

    def source(self) -> str:
        """Return `file:line`, or nothing where the source is not known."""
        return f"{self.file}:{self.line}" if self.file else ""

    def __str__(self) -> str:
        module = f"{self.module or '(root)'} ({self.module_type})" if self.module_type else "(root)"
        place = f"{self.node} = {self.op} in {module}"
        return f"{place}, {self.source()}" if self.file else place


@dataclass(frozen=True)
class Finding:
    """The outcome of one check.

    `measured` and `limit` are in the unit that `unit` names; None where there is no number.
    """

    check: str
    status: Status
    message: str
    measured: float | None = None
    limit: float | None = None
    unit: str = ""
    place: Place | None = None
    advice: str = ""
    details: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """False only if the check failed."""
        return self.status is not Status.FAILED

    def text(self) -> str:
        """Return the finding as text of several lines."""
        lines = [f"{self.check}: {self.message}"]
        lines += [f"  first op: {self.place}"] if self.place else []
        lines += [f"  {line}" for line in self.details]
        lines += [f"  what to do: {self.advice}"] if self.advice else []
        return "\n".join(lines)

    def as_dict(self) -> dict[str, object]:
        """Return plain data for JSON."""
        return asdict(self) | {"status": self.status.name.lower(), "details": list(self.details)}


@dataclass(frozen=True)
class Report:
    """All findings about one model under one preset.

    `ledger` sums over all batches; None if nothing could be computed.
    """

    name: str
    findings: tuple[Finding, ...]
    samples: int = 0
    ledger: Ledger | None = None
    provenance: Provenance | None = None
    coverage: Mapping[str, object] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """True if no check failed."""
        return all(finding.ok for finding in self.findings)

    @property
    def failed(self) -> tuple[Finding, ...]:
        """The findings that failed."""
        return tuple(finding for finding in self.findings if not finding.ok)

    def text(self) -> str:
        """Return the failed findings as text; one line if there are none."""
        if self.ok:
            return f"{self.name}: ok"
        return "\n".join([f"{self.name}:", *(finding.text() for finding in self.failed)])

    def as_dict(self) -> dict[str, object]:
        """Return plain data for JSON."""
        return {
            "name": self.name,
            "ok": self.ok,
            "samples": self.samples,
            "findings": [finding.as_dict() for finding in self.findings],
            "coverage": dict(self.coverage),
            "ledger": self.ledger.as_dict() if self.ledger else None,
            "provenance": self.provenance.as_dict() if self.provenance else None,
        }
