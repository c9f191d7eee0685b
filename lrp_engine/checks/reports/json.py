"""Reports as JSON, for machines."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

from ..finding import Report

FORMAT = "lrp-engine check 1"


def format_json(reports: Sequence[Report]) -> str:
    """Format all cases with every finding, coverage, ledger and provenance."""
    data = {
        "format": FORMAT,
        "ok": all(report.ok for report in reports),
        "cases": [report.as_dict() for report in reports],
    }
    return json.dumps(null_nonfinite(data), indent=2, allow_nan=False)


def null_nonfinite(data: object) -> object:
    """Return plain data with None in place of NaN and infinities, which JSON does not have."""
    if isinstance(data, dict):
        return {key: null_nonfinite(item) for key, item in data.items()}
    if isinstance(data, (list, tuple)):
        return [null_nonfinite(item) for item in data]
    if isinstance(data, float) and not math.isfinite(data):
        return None
    return data
