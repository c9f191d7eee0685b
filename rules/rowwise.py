"""Which calls act on the last axis alone, each row of the other axes by itself: for op records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lrp_engine.graph import value


def always(_: Mapping[str, Any]) -> bool:
    """Every call of the op."""
    return True


def reduces_last(arguments: Mapping[str, Any]) -> bool:
    """A reduction over the last axis and no other."""
    last = value(arguments["self"]).dim() - 1
    return list(arguments["dim"] or ()) in ([-1], [last])


def normalises_last(arguments: Mapping[str, Any]) -> bool:
    """A normalisation over the last axis and no other."""
    return len(arguments["normalized_shape"]) == 1
