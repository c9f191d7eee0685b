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
from ..show.labels import Labels, SourceLabels
from ..show.pieces import Piece

_FILLING = Piece("[PAD]", special=True, padding=True)


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
        stored_labels=_join_labels([part.labels for part in parts]),
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


def _join_labels(parts: Sequence[Labels]) -> Labels:
    first = parts[0]
    sources = {name: _join_sources([part.of(name) for part in parts]) for name in first.sources}
    return replace(
        first,
        sources=sources,
        questions=tuple(q for part in parts for q in part.questions),
        samples=tuple(name for part in parts for name in part.samples),
        truth=tuple(name for part in parts for name in part.truth),
        notes=tuple(dict.fromkeys(text for part in parts for text in part.notes)),
    )


def _join_sources(parts: Sequence[SourceLabels]) -> SourceLabels:
    words = [pieces for part in parts for pieces in part.words]
    longest = max((len(pieces) for pieces in words), default=0)
    data = [part.data for part in parts if part.data is not None]
    fits = len({tensor.shape[1:] for tensor in data}) == 1
    return replace(
        parts[0],
        words=tuple((*pieces, *[_FILLING] * (longest - len(pieces))) for pieces in words),
        feature_values=tuple(values for part in parts for values in part.feature_values),
        images=tuple(image for part in parts for image in part.images),
        data=torch.cat(data) if fits and len(data) == len(parts) else None,
        true_colours=all(part.true_colours for part in parts),
    )


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
