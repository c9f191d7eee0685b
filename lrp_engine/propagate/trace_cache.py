"""Traces of rules and functions, which all programs of one model share."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import NamedTuple

from ..graphs.tracing import Template
from .call_site import RuleTrace


class AccountTrace(NamedTuple):
    """The trace of one op's sums, and the causes under which its absorbed amounts are booked."""

    template: Template
    causes: tuple[str, ...]


@dataclass(frozen=True)
class TraceCache:
    """Traces by what they depend on (function or rule, op, shapes); equal calls share one.

    The cache itself is one object that never changes hands; its dictionaries fill up.
    """

    functions: dict[Hashable, Template] = field(default_factory=dict)
    rules: dict[Hashable, RuleTrace] = field(default_factory=dict)
    accounts: dict[Hashable, AccountTrace] = field(default_factory=dict)
