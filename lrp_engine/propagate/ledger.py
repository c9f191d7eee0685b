"""Account for every unit of relevance: per op, received = passed on + absorbed + residual."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

import torch

from ..errors import ConservationError
from ..markup import MOST_ROWS, Overview, Shown
from ..markup.numbers import percent, plain

_TOLERANCE = {
    torch.float64: 1e-12,
    torch.float32: 1e-5,
    torch.float16: 2e-2,
    torch.bfloat16: 1e-1,
}


class WorstAccount(TypedDict):
    """The op with the largest relative residual, as plain data."""

    node: str
    error: float


class LedgerSummary(TypedDict):
    """A ledger's totals as plain data, in the unit of the explained number."""

    explained: float
    arrived: dict[str, float]
    absorbed: dict[str, float]
    residual: float
    tolerance: float
    worst: WorstAccount | None


_ENTRIES = 2**20  # of how many entries what is too small for the dtype may be missing


def tolerance_for(dtype: torch.dtype) -> float:
    """Return the default tolerance, relative to the sum of |R| at the op."""
    return _TOLERANCE.get(dtype, 1e-5)


def floor_for(dtype: torch.dtype) -> float:
    """Return the largest residual that no account of this dtype can tell from zero.

    Below its smallest normal number a dtype has no digits left, and some devices flush to zero. In
    single precision this allows 1.2e-32, in double 2.3e-302. Half precision is summed in single,
    and has no floor of its own: what underflows there is a loss to be reported.
    """
    return _ENTRIES * torch.finfo(torch.promote_types(dtype, torch.float32)).tiny


@dataclass(frozen=True)
class Account:
    """One op's account, summed over the batch. Units: those of the explained number.

    `size_received` and `size_passed` are the sums of |R| on both sides; a residual of at most
    `floor` is none.
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
    floor: float = 0.0

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
        """The part neither passed on nor absorbed: numerical noise, if the rule is right."""
        return self.received - self.passed - sum(self.absorbed.values())

    @property
    def is_finite(self) -> bool:
        """True if no number of the account is infinite or undefined."""
        sizes = (self.received, self.passed, self.size_received, self.size_passed)
        return all(map(math.isfinite, (*sizes, *self.absorbed.values())))

    def name(self) -> str:
        """Return the op, its rule and its place."""
        return f"{self.node} = {self.op} under rule {self.rule} in {self.place}"

    def text(self) -> str:
        """Return the account in words."""
        return (
            f"received {self.received:.6g}, passed on {self.passed:.6g}, absorbed"
            f" {sum(self.absorbed.values()):.6g}; the residual {self.residual:.3g} is"
            f" {self.error:.1e} of the sum of |R|"
        )

    @property
    def error(self) -> float:
        """|residual| relative to the sum of |R| that arrived or was passed on."""
        if abs(self.residual) <= self.floor:
            return 0.0
        return abs(self.residual) / self.size if self.size else float("inf")


@dataclass(frozen=True)
class Imbalance:
    """A violation of conservation: at one op, or between ops (`account` is None).

    `error` is relative to the sum of |R|, as `limit` is.
    """

    account: Account | None
    message: str
    error: float
    limit: float

    def __str__(self) -> str:
        a = self.account
        if a is None:
            return self.message
        return f"{a.name()}: {self.message} (tolerance {self.limit:.0e})"


@dataclass(frozen=True, repr=False)
class Ledger(Shown):
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
        """The part of the explained number that neither arrived at a source nor was absorbed."""
        return self.explained - sum(self.arrived.values()) - sum(self.absorbed.values())

    @property
    def size(self) -> float:
        """Sum of |R| at the op where it is largest."""
        return max((account.size for account in self.accounts), default=0.0)

    @property
    def sent(self) -> float:
        """Sum of |R| that set out from the output: for one class, the sum of |logit|."""
        return self.accounts[0].size_received if self.accounts else 0.0

    @property
    def worst(self) -> Account | None:
        """The account with the largest relative residual."""
        return max(self.accounts, key=_error, default=None)

    def find_nonfinite(self) -> Account | None:
        """Return the first account, from the output, that is not finite; None if all are."""
        return next((account for account in self.accounts if not account.is_finite), None)

    def find_imbalance(self, tolerance: float | None = None) -> Imbalance | None:
        """Return the first violation of conservation, from the output; None if all balances.

        The whole must balance as well: explained = arrived + absorbed.

        Args:
            tolerance: The largest residual allowed, relative to the sum of |R| at the op;
                by default the ledger's own.
        """
        limit = self.tolerance if tolerance is None else tolerance
        account = next((a for a in self.accounts if not _error(a) <= limit), None)
        if account is not None:
            return Imbalance(account, account.text(), account.error, limit)
        if abs(self.residual) <= limit * max(self.size, abs(self.explained)):
            return None
        message = (
            f"every op balances, but of {self.explained:.6g} explained, {self.residual:.3g} neither"
            " arrived at a source nor was absorbed: relevance was lost between ops"
        )
        return Imbalance(None, message, abs(self.residual) / (self.size or 1.0), limit)

    def check(self, tolerance: float | None = None) -> None:
        """Raise ConservationError if `find_imbalance` finds one; name the op."""
        imbalance = self.find_imbalance(tolerance)
        if imbalance is not None:
            raise ConservationError(str(imbalance))

    def rows(self) -> list[tuple[str, float]]:
        """Return the summary as a table: where the explained number went."""
        return [
            ("explained", self.explained),
            *((f"arrived at {name}", amount) for name, amount in self.arrived.items()),
            *((f"absorbed: {cause}", amount) for cause, amount in sorted(self.absorbed.items())),
            ("residual", self.residual),
        ]

    def overview(self) -> Overview:
        """Return where the explained number went, largest part first."""
        first, *parts, residual = self.rows()
        ordered = [first, *sorted(parts, key=lambda row: -abs(row[1])), residual]
        imbalance = self.find_imbalance()
        return Overview(
            title=f"ledger: {len(self.accounts)} accounts of {plain(self.explained)} explained",
            head=("where it went", "amount#", "share#"),
            rows=[(name, plain(n), self._share(n)) for name, n in ordered[:MOST_ROWS]],
            left_out=max(0, len(ordered) - MOST_ROWS),
            notes=() if imbalance is None else (f"does not balance: {imbalance}",),
        )

    def _share(self, amount: float) -> str:
        return percent(amount / self.explained) if self.explained else ""

    def as_dict(self) -> LedgerSummary:
        """Return the totals as plain data for JSON."""
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
    """Return the relative residual; one that is not a number exceeds every tolerance."""
    error = account.error
    return float("inf") if error != error else error


def ledger_of(
    explained: float,
    arrived: Mapping[str, float],
    accounts: Sequence[Account],
    dtype: torch.dtype,
    tolerance: float | None = None,
) -> Ledger:
    """Assemble a ledger; its tolerance is that of the dtype unless one is given."""
    limit = tolerance_for(dtype) if tolerance is None else tolerance
    return Ledger(explained, dict(arrived), tuple(accounts), limit)
