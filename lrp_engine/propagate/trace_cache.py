"""Traces of rules, shared between programs of one model."""

from __future__ import annotations

from typing import Any

Cache = dict[Any, Any]
