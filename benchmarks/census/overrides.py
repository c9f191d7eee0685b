"""Rows of data for models whose small config or inputs the general tables do not get right."""

from __future__ import annotations

from typing import Any

# Of a config, by its model_type: fields that are set after shrinking.
CONFIGS: dict[str, dict[str, Any]] = {}
