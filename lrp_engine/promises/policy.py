"""Choose what to keep between the forward pass and the relevance program: a policy or a budget."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from ..errors import InputError

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30}
_AMOUNT = re.compile(r"\s*(?P<number>\d+(\.\d+)?)\s*(?P<unit>(k|m|g)?i?)b\s*", re.IGNORECASE)


class Policy(Enum):
    """Named trade-offs between memory and work done twice."""

    KEEP = "keep"  # keep all, except what a compiler fuses with its reader: fastest
    BALANCED = "balanced"  # recompute what is cheap for its bytes
    LOW_MEMORY = "low_memory"  # keep checkpoints, recompute everything between them


@dataclass(frozen=True)
class MemoryBudget:
    """The most bytes that may be alive at once, parameters and inputs not counted."""

    bytes: int

    def __str__(self) -> str:
        return format_bytes(self.bytes)


PolicyOrBudget: TypeAlias = Policy | MemoryBudget


def parse_policy(given: str | int | PolicyOrBudget) -> PolicyOrBudget:
    """Return a policy by its name, or a budget from a number of bytes, "500 MB" or "2 GiB".

    Raises:
        InputError: `given` is neither the name of a policy nor a positive amount of memory.

    Example:
        >>> parse_policy("low_memory")
        <Policy.LOW_MEMORY: 'low_memory'>
        >>> parse_policy("2 GiB").bytes
        2147483648
    """
    if isinstance(given, (Policy, MemoryBudget)):
        return given
    if isinstance(given, int) and not isinstance(given, bool):
        return _budget(given)
    if isinstance(given, str):
        if given in {p.value for p in Policy}:
            return Policy(given)
        amount = _AMOUNT.fullmatch(given)
        if amount:
            return _budget(int(float(amount["number"]) * _UNITS[amount["unit"].lower()]))
    known = ", ".join(p.value for p in Policy)
    raise InputError(
        f"unknown policy {given!r}; choose from: {known}, or give a budget in bytes"
        ' (5_000_000, "2 GB")'
    )


def format_bytes(count: float) -> str:
    """Return a number of bytes in a unit that fits: 5.0 MB is 5 million bytes."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.2f} GB"


def _budget(count: int) -> MemoryBudget:
    if count <= 0:
        raise InputError(f"a memory budget of {count} bytes is not positive")
    return MemoryBudget(count)
