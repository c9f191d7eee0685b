"""JSON, for machines. Numbers that are not finite become null."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ..finding import Report

FORMAT = "lrp-engine check 1"


def as_json(reports: Sequence[Report]) -> str:
    """All cases with every finding, coverage, ledger and provenance."""
    data = {
        "format": FORMAT,
        "ok": all(report.ok for report in reports),
        "cases": [report.as_dict() for report in reports],
    }
    return json.dumps(_finite(data), indent=2, allow_nan=False)


def _finite(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _finite(item) for key, item in data.items()}
    if isinstance(data, (list, tuple)):
        return [_finite(item) for item in data]
    if isinstance(data, float) and data - data != 0:
        return None
    return data
