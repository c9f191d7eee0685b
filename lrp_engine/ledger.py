"""Where every unit of relevance went: per op, received = passed on + absorbed + residual."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from .errors import ConservationError

_TOLERANCE = {
    torch.float64: 1e-12,
    torch.float32: 1e-5,
    torch.float16: 2e-2,
    torch.bfloat16: 1e-1,
}


def tolerance_for(dtype: torch.dtype) -> float:
    """The default tolerance, relative to the sum of |R| at the op."""
    return _TOLERANCE.get(dtype, 1e-5)


@dataclass(frozen=True)
class Account:
    """One op's account, summed over the batch. Units: those of the explained number."""

    node: str
    op: str
    rule: str
    place: str
    received: float
    passed: float
    absorbed: Mapping[str, float]
    size: float

    @property
    def residual(self) -> float:
        """What is neither passed on nor absorbed: numerical noise, if the rule is right."""
        return self.received - self.passed - sum(self.absorbed.values())

    @property
    def error(self) -> float:
        """|residual| relative to the sum of |R| that arrived or was passed on."""
        if self.residual == 0:
            return 0.0
        return abs(self.residual) / self.size if self.size else float("inf")


@dataclass(frozen=True)
class Ledger:
    """All accounts of one explanation.

    `explained` is the seed's total, `arrived` what reached each source, `absorbed` what ops kept,
    by cause. `explained = sum(arrived) + sum(absorbed) + residual`.
    """

    explained: float
    arrived: Mapping[str, float]
    accounts: tuple[Account, ...]
    tolerance: float

    @property
    def absorbed(self) -> dict[str, float]:
        """Totals by cause."""
        totals: dict[str, float] = defaultdict(float)
        for account in self.accounts:
            for cause, amount in account.absorbed.items():
                totals[cause] += amount
        return dict(totals)

    @property
    def residual(self) -> float:
        """What the whole explanation cannot account for."""
        return self.explained - sum(self.arrived.values()) - sum(self.absorbed.values())

    @property
    def size(self) -> float:
        """Sum of |R| where there was most of it."""
        return max((account.size for account in self.accounts), default=0.0)

    @property
    def worst(self) -> Account | None:
        """The account with the largest relative residual."""
        return max(self.accounts, key=_error, default=None)

    def check(self, tolerance: float | None = None) -> None:
        """Raises ConservationError naming the first op (from the output) out of tolerance.

        The whole must balance as well: explained = arrived + absorbed.
        """
        limit = self.tolerance if tolerance is None else tolerance
        for account in self.accounts:
            if not _error(account) <= limit:
                raise ConservationError(
                    f"{account.node} = {account.op} under rule {account.rule} in {account.place}:"
                    f" received {account.received:.6g}, passed on {account.passed:.6g}, absorbed"
                    f" {sum(account.absorbed.values()):.6g}; the residual {account.residual:.3g} is"
                    f" {account.error:.1e} of the sum of |R| (tolerance {limit:.0e})"
                )
        if not abs(self.residual) <= limit * max(self.size, abs(self.explained)):
            raise ConservationError(
                f"every op balances, and yet of {self.explained:.6g} explained {self.residual:.3g}"
                " is neither at a source nor absorbed: relevance was lost between ops"
            )

    def rows(self) -> list[tuple[str, float]]:
        """The summary as a table: where the explained number went."""
        return [
            ("explained", self.explained),
            *((f"arrived at {name}", amount) for name, amount in self.arrived.items()),
            *((f"absorbed: {cause}", amount) for cause, amount in sorted(self.absorbed.items())),
            ("residual", self.residual),
        ]

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        worst = self.worst
        return {
            "explained": self.explained,
            "arrived": dict(self.arrived),
            "absorbed": self.absorbed,
            "residual": self.residual,
            "tolerance": self.tolerance,
            "worst": {"node": worst.node, "error": worst.error} if worst else None,
        }

    def __str__(self) -> str:
        width = max(len(name) for name, _ in self.rows())
        lines = [f"{name.ljust(width)}  {amount: .6g}" for name, amount in self.rows()]
        worst = self.worst
        if worst:
            lines.append(f"largest residual of one op: {worst.error:.1e} of its |R| ({worst.node})")
        return "\n".join(lines)


def _error(account: Account) -> float:
    """An account that is not finite is out of every tolerance."""
    error = account.error
    return float("inf") if error != error else error


def ledger_of(
    explained: float,
    arrived: Mapping[str, float],
    accounts: Sequence[Account],
    dtype: torch.dtype,
    tolerance: float | None = None,
) -> Ledger:
    """Assembles a ledger with the tolerance of its dtype."""
    limit = tolerance_for(dtype) if tolerance is None else tolerance
    return Ledger(explained, dict(arrived), tuple(accounts), limit)
