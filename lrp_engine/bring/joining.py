"""Join the explanations of several batches to one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import pad

from ..errors import InputError
from ..propagate.ledger import Account, Ledger
from ..results.explanation import Explanation
from ..show.join_labels import join_labels


def join_explanations(parts: Sequence[Explanation]) -> Explanation:
    """Return one explanation of all samples; its ledger sums over them, its output is left out.

    Where batches of texts have several lengths, shorter ones are filled up with zeros. The accounts
    of every batch are compared with their tolerance on the way: sums could hide what is missing.

    Raises:
        InputError: There is none.
        ConservationError: The ledger of a batch does not balance.
    """
    if not parts:
        raise InputError("there is no explanation to join: no batch was explained")
    if len(parts) == 1:
        return parts[0]
    for part in parts:
        part.ledger.check()
    names = list(parts[0].relevance)
    return replace(
        parts[0],
        explained=torch.cat([part.explained.reshape(-1) for part in parts]),
        relevance={n: _joined([part.relevance[n] for part in parts]) for n in names},
        coefficient={n: _joined([part.coefficient[n] for part in parts]) for n in names},
        stored_output=None,
        compute_output=None,
        stored_ledger=_sum_ledgers([part.ledger for part in parts]),
        compute_ledger=None,
        require_finite=None,
        stored_labels=join_labels([part.labels for part in parts]),
        compute_labels=None,
    )


def _joined(tensors: Sequence[Tensor]) -> Tensor:
    sizes = [max(t.shape[axis] for t in tensors) for axis in range(1, tensors[0].dim())]
    return torch.cat([_filled(tensor, sizes) for tensor in tensors])


def _filled(tensor: Tensor, sizes: Sequence[int]) -> Tensor:
    """Return a tensor with zeros behind what it has, up to these sizes behind the first axis."""
    lacking = [
        amount
        for size, now in zip(reversed(sizes), reversed(tensor.shape[1:]), strict=True)
        for amount in (0, size - now)
    ]
    return pad(tensor, lacking) if any(lacking) else tensor


def _sum_ledgers(ledgers: Sequence[Ledger]) -> Ledger:
    accounts = zip(*(ledger.accounts for ledger in ledgers), strict=True)
    return replace(
        ledgers[0],
        explained=sum(ledger.explained for ledger in ledgers),
        arrived=_sums([ledger.arrived for ledger in ledgers]),
        accounts=tuple(map(_sum_accounts, accounts)),
    )


def _sum_accounts(accounts: Sequence[Account]) -> Account:
    sums = {
        name: sum(getattr(account, name) for account in accounts)
        for name in ("received", "passed", "size_received", "size_passed")
    }
    return replace(accounts[0], absorbed=_sums([a.absorbed for a in accounts]), **sums)


def _sums(tables: Sequence[Mapping[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for table in tables for name in table)
    return {name: sum(table.get(name, 0.0) for table in tables) for name in names}
