"""Where every unit of relevance went: per op, received = passed on + absorbed + residual."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..errors import ConservationError

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
    """One op's account, summed over the batch. Units: those of the explained number.

    `size_received` and `size_passed` are the sums of |R| on both sides.
    """

    node: str
    op: str
    rule: str
    place: str
    received: float
    passed: float
    absorbed: Mapping[str, float]
    size_received: float
    size_passed: float

    @property
    def size(self) -> float:
        """Sum of |R| that arrived or was passed on, whichever is more."""
        return max(self.size_received, self.size_passed)

    @property
    def amplification(self) -> float:
        """Sum of |R| passed on over sum of |R| received; above 1 where terms nearly cancel."""
        if self.size_received == self.size_passed:
            return 1.0
        return self.size_passed / self.size_received if self.size_received else float("inf")

    @property
    def residual(self) -> float:
        """What is neither passed on nor absorbed: numerical noise, if the rule is right."""
        return self.received - self.passed - sum(self.absorbed.values())

    def text(self) -> str:
        """The account in words."""
        return (
            f"received {self.received:.6g}, passed on {self.passed:.6g}, absorbed"
            f" {sum(self.absorbed.values()):.6g}; the residual {self.residual:.3g} is"
            f" {self.error:.1e} of the sum of |R|"
        )

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
    def sent(self) -> float:
        """Sum of |R| that set out from the output: for one class, the sum of |logit|."""
        return self.accounts[0].size_received if self.accounts else 0.0

    @property
    def worst(self) -> Account | None:
        """The account with the largest relative residual."""
        return max(self.accounts, key=_error, default=None)

    def unbalanced(self, limit: float) -> Account | None:
        """The first account, from the output, whose residual is above `limit` times its |R|."""
        return next((a for a in self.accounts if not _error(a) <= limit), None)

    def is_lost(self, limit: float) -> bool:
        """Whether the whole is out of balance: explained = arrived + absorbed."""
        return not abs(self.residual) <= limit * max(self.size, abs(self.explained))

    def check(self, tolerance: float | None = None) -> None:
        """Raises ConservationError naming the first op (from the output) out of tolerance.

        The whole must balance as well: explained = arrived + absorbed.
        """
        limit = self.tolerance if tolerance is None else tolerance
        account = self.unbalanced(limit)
        if account is not None:
            raise ConservationError(
                f"{account.node} = {account.op} under rule {account.rule} in {account.place}:"
                f" {account.text()} (tolerance {limit:.0e})"
            )
        if self.is_lost(limit):
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
