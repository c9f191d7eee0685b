"""What to keep between the forward pass and the relevance program: a named policy or a budget."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from ..errors import InputError

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30}
_AMOUNT = re.compile(r"\s*(?P<number>\d+(\.\d+)?)\s*(?P<unit>(k|m|g)?i?)b\s*", re.IGNORECASE)


class Policy(Enum):
    """How promises are honoured."""

    KEEP = "keep"  # all are kept, but for what a compiler fuses with its reader: fastest
    BALANCED = "balanced"  # what is cheap for its bytes is computed again
    LOW_MEMORY = "low_memory"  # checkpoints; everything between them is computed again


@dataclass(frozen=True)
class Budget:
    """The most bytes that may be alive at once, parameters and inputs not counted."""

    bytes: int

    def __str__(self) -> str:
        return f"{readable(self.bytes)}"


Choice = Policy | Budget


def policy_of(given: str | int | Choice) -> Choice:
    """A policy by name, or a budget: a number of bytes, "500 MB", "2 GiB". Raises InputError."""
    if isinstance(given, (Policy, Budget)):
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
        f'unknown policy {given!r}; there is {known}, or a budget in bytes (5_000_000, "2 GB")'
    )


def readable(count: float) -> str:
    """Bytes in a unit that fits: 5.0 MB is 5 million bytes."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.2f} GB"


def _budget(count: int) -> Budget:
    if count <= 0:
        raise InputError(f"a budget of {count} bytes is no budget")
    return Budget(count)
