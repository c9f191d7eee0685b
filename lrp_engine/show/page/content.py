"""Hold everything that a page tells of an explanation: tensors, numbers and words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from torch import Tensor

from ...markup import Overview
from ..balance import Balance
from ..labels import Labels


@dataclass(frozen=True)
class Verdict:
    """Hold what `check()` said; `passed` is None if it was not asked."""

    passed: bool | None
    text: str


@dataclass(frozen=True)
class Content:
    """Hold what a page is written from. Tensors are on the CPU, and detached.

    Args:
        explained: The explained number of each sample, (batch,).
        relevance: By source, (batch, ...).
        labels: How sources and outputs are to be read.
        preset: Its name.
        scores: Of each class where it was explained, (batch, classes); None if there are none.
        balance: Where the explained numbers went, summed over the batch; None: see `no_balance`.
        no_balance: Why there is no ledger.
        accounts: The ops that absorbed most: name, rule, place, amount.
        verdict: What `check()` said.
        coverage: The ops that have a rule, in a line.
        notes: What was taken for granted, a sentence each.
        provenance: Names and values.
        citations: The papers of preset and rules, a line each.
        name: Of the model or preset, where several explain the same.
    """

    explained: Tensor
    relevance: Mapping[str, Tensor]
    labels: Labels
    preset: str
    scores: Tensor | None = None
    balance: Balance | None = None
    no_balance: str = ""
    accounts: Overview | None = None
    verdict: Verdict = field(default=Verdict(None, "check() was not run"))
    coverage: str = ""
    notes: Sequence[str] = ()
    provenance: Sequence[tuple[str, str]] = ()
    citations: Sequence[str] = ()
    name: str = ""

    def sample(self, index: int) -> Content:
        """Return what is told of one sample; what sums over the batch is left out."""
        if len(self.explained) == 1:
            return self
        here = slice(index, index + 1)
        return replace(
            self,
            explained=self.explained[here],
            relevance={name: relevance[here] for name, relevance in self.relevance.items()},
            labels=self.labels.sample(here),
            scores=None if self.scores is None else self.scores[here],
            balance=None,
            no_balance="The ledger sums over the batch, and this is one sample of it.",
            accounts=None,
        )
