"""Write an explanation's ledger as the explorer shows it."""

from __future__ import annotations

from collections.abc import Collection

from ..explorer.scene import LedgerLine, OpLine
from ..propagate.ledger import Account, Ledger
from .places import shorten

_MOST = 200


def ledger_line(ledger: Ledger, always: Collection[str] = ()) -> LedgerLine:
    """Return totals, and the accounts of the ops that absorbed most.

    Args:
        ledger: The ledger.
        always: Ops to list in any case.
    """
    absorbing = [a for a in ledger.accounts if any(a.absorbed.values())]
    most = sorted(absorbing, key=_absorbed, reverse=True)[:_MOST]
    kept = {id(account) for account in most}
    listed = [a for a in ledger.accounts if id(a) in kept or a.node in always]
    return LedgerLine(
        explained=ledger.explained,
        arrived=dict(ledger.arrived),
        absorbed=ledger.absorbed,
        residual=ledger.residual,
        balances=ledger.find_imbalance() is None,
        ops=tuple(map(_op_line, listed)),
        left_out=len(absorbing) - len(most),
    )


def _absorbed(account: Account) -> float:
    return sum(abs(amount) for amount in account.absorbed.values())


def _op_line(account: Account) -> OpLine:
    return OpLine(
        node=account.node,
        op=account.op.removeprefix("aten."),
        rule=account.rule,
        place=shorten(account.place),
        received=account.received,
        passed=account.passed,
        absorbed={cause: amount for cause, amount in account.absorbed.items() if amount},
    )
