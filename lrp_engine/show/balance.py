"""Take a ledger apart: what arrived, what was absorbed by cause, and what does not balance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from operator import itemgetter

from ..propagate.ledger import Ledger

_MOST_PARTS = 12


class PartKind(Enum):
    """Say where a part of the explained number went."""

    ARRIVED = "arrived"
    ABSORBED = "absorbed"
    RESIDUAL = "does not balance"


@dataclass(frozen=True)
class Part:
    """One part of the explained number, in its unit; `name` is that of the source or cause."""

    kind: PartKind
    name: str
    amount: float

    def text(self) -> str:
        """Return the part in words: `arrived at x`, `absorbed: bias`, `does not balance`."""
        if self.kind is PartKind.RESIDUAL:
            return str(self.kind.value)
        if self.kind is PartKind.ARRIVED:
            return f"arrived at {self.name}" if self.name else "arrived"
        return self.name


@dataclass(frozen=True)
class Balance:
    """Say where the number went, largest part first: what was absorbed, then what arrived.

    The residual is a part only where it is out of tolerance: `balances` is False then.
    """

    explained: float
    parts: tuple[Part, ...]
    balances: bool

    def shares(self) -> tuple[float, ...] | None:
        """Return the share of each part; None where parts of both signs cancel."""
        signs = {part.amount > 0 for part in self.parts if part.amount}
        if not self.explained or signs != {self.explained > 0}:
            return None
        return tuple(part.amount / self.explained for part in self.parts)

    @property
    def size(self) -> float:
        """Sum of |amount| of all parts."""
        return sum(abs(part.amount) for part in self.parts)

    def total(self, kind: PartKind) -> float:
        """Return the sum of the parts of one kind."""
        return sum(part.amount for part in self.parts if part.kind is kind)


def balance_of(ledger: Ledger, most: int = _MOST_PARTS) -> Balance:
    """Return where the explained number went; beyond `most` parts of a kind, the rest is summed."""
    balances = ledger.find_imbalance() is None
    parts = [
        *_largest(PartKind.ABSORBED, ledger.absorbed, most),
        *_largest(PartKind.ARRIVED, dict(ledger.arrived), most),
    ]
    if not balances:
        parts.insert(0, Part(PartKind.RESIDUAL, "residual", ledger.residual))
    return Balance(ledger.explained, tuple(parts), balances)


def _largest(kind: PartKind, amounts: dict[str, float], most: int) -> Iterator[Part]:
    ordered = sorted(filter(itemgetter(1), amounts.items()), key=lambda item: -abs(item[1]))
    for name, amount in ordered[:most]:
        yield Part(kind, name, amount)
    if rest := ordered[most:]:
        yield Part(kind, f"{len(rest)} others", sum(amount for _, amount in rest))
