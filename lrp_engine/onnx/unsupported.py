"""Errors for what cannot be imported. Inside, reasons are short; `Unsupported` adds the place."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..errors import CaptureError


class Refused(Exception):
    """Raised by an entry of the op table: a reason why its node cannot be imported."""


@dataclass(frozen=True)
class Refusal:
    """One node that cannot be imported, and why."""

    op: str
    node: str
    opset: int
    reason: str

    def __str__(self) -> str:
        return f"{self.op} (opset {self.opset}) at node {self.node!r}: {self.reason}"


class Unsupported(CaptureError):
    """Nodes of an ONNX file that cannot be imported, all in one error."""

    def __init__(self, refusals: Iterable[Refusal], file: str = "") -> None:
        self.refusals: tuple[Refusal, ...] = tuple(refusals)
        lines = "\n  ".join(map(str, self.refusals))
        where = f" of {file}" if file else ""
        super().__init__(f"{len(self.refusals)} node(s){where} cannot be imported:\n  {lines}")
