"""Find explosions: relevance that balances at every op and is far larger than what is explained.

A rule that divides by a sum of nearly cancelling terms passes on large positive and negative parts.
They add up to what arrived, so every account balances, and yet they explain nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .ledger import Account, Ledger

# Sound models and presets stay under 24 and 150: docs/design/checks.md has the figures.
AMPLIFICATION = 1e4
GROWTH = 1e5

# Ratios of ops that carry next to nothing are noise.
_NEGLIGIBLE = 1e-3

ADVICE = (
    "large terms of opposite sign nearly cancel here, or the rule divides by nearly zero, so that"
    " positive and negative relevance grow together. Raise this rule's stabiliser (`epsilon` or"
    " `stabiliser` in the preset), take a rule that damps negative parts (preset 'gamma'), or stop"
    " this op. If the rule separates signs (z_plus, alpha_beta, norm), try preset 'epsilon' or"
    " 'attnlrp'. If the explained number itself is nearly 0, explain a difference of outputs"
)


@dataclass(frozen=True)
class Explosion:
    """One op at which the sum of |R| exceeds a limit.

    `measured` is the ratio that exceeds `limit`: to what the op received or, if `whole`, to the sum
    of |R| that set out from the output.
    """

    account: Account
    measured: float
    limit: float
    whole: bool

    def text(self) -> str:
        """Return what grew, in words."""
        a = self.account
        if self.whole:
            return (
                f"the sum of |R| is {a.size:.3g}, {self.measured:.3g} times what set out from the"
                f" output (at most {self.limit:g} times)"
            )
        return (
            f"the sum of |R| grows from {a.size_received:.3g} to {a.size_passed:.3g},"
            f" {self.measured:.3g} times (at most {self.limit:g})"
        )

    def __str__(self) -> str:
        return f"relevance explodes at {self.account.name()}: {self.text()}. {ADVICE}"


def find_explosion(
    ledger: Ledger, amplification: float | None = None, growth: float | None = None
) -> Explosion | None:
    """Return the first op, from the output, that exceeds a limit; None if there is none.

    Args:
        ledger: The accounts of one explanation.
        amplification: The largest sum of |R| passed on over sum of |R| received, for any op that
            carries a thousandth of what set out from the output. None for the default.
        growth: The largest sum of |R| at any op over that which set out. None for the default.
    """
    by_op = AMPLIFICATION if amplification is None else amplification
    in_all = GROWTH if growth is None else growth
    for account in carrying(ledger):
        if account.size_received > 0 and not account.amplification <= by_op:
            return Explosion(account, account.amplification, by_op, whole=False)
        if ledger.sent > 0 and not account.size <= in_all * ledger.sent:
            return Explosion(account, account.size / ledger.sent, in_all, whole=True)
    return None


def carrying(ledger: Ledger) -> Iterator[Account]:
    """Yield the accounts of ops that carry a thousandth of what set out from the output."""
    return (a for a in ledger.accounts if not a.size < _NEGLIGIBLE * ledger.sent)


def growth_of(ledger: Ledger) -> float:
    """Return the largest sum of |R| at any op over that which set out; 1 if nothing set out."""
    return ledger.size / ledger.sent if ledger.sent else 1.0
