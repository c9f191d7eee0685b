"""One forward pass, and the explanations that follow from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from ..errors import InputError
from ..programs.assemble import Wanted, ends
from ..programs.batched import run_many
from ..propagate.accounts import read_accounts
from ..propagate.ledger import Ledger, ledger_of
from ..results.explanation import Explanation
from . import validate
from .program_pairs import Way, Ways
from .target import (
    Position,
    Seed,
    Target,
    seed_at_rows,
    seed_of,
)


@dataclass(frozen=True)
class Forward:
    """One forward pass with its promises kept, from which many targets can be explained.

    `rows`: where the output was computed, if not everywhere; `output_later` if it can be had.
    """

    ways: Ways
    way: Way
    leaves: list[Any]
    outputs: list[Any]
    kept: list[Any]
    rows: Tensor | None = None
    output_later: bool = False

    @property
    def output(self) -> Any:
        """The model's output, in the model's own structure; None if only `rows` of it are known."""
        if self.rows is not None:
            return None
        return pytree.tree_unflatten(self.outputs, self.ways.plan.captured.out_spec)

    def explain(self, target: Target = None, *, position: Position = None) -> Explanation:
        """Explains one target; the promises stay for the next."""
        return self._explain(target, position, list(self.kept))

    def last(self, target: Target, position: Position) -> Explanation:
        """Explains one target and lets every promise go after its last use."""
        kept = list(self.kept)
        self.kept.clear()
        return self._explain(target, position, kept)

    def at_rows(self, target: Target, positions: int) -> Explanation:
        """Explains a class at the rows that were computed, of so many positions."""
        assert self.rows is not None
        (row,) = self.outputs
        kept = list(self.kept)
        self.kept.clear()
        return self._from(seed_at_rows(row, target, self.rows, positions), kept)

    def explain_all(
        self, targets: Sequence[tuple[Target, Position]], at_once: int
    ) -> list[Explanation]:
        """Explains (target, position) pairs, `at_once` of them together."""
        if not targets:
            return []
        # Compiled programs are not for vmap: the plain one is taken.
        relevance = self.way.wanted.program.batched
        with torch.set_grad_enabled(self.way.with_grad):
            seeds = [seed_of(self.explained_output, *pair) for pair in targets]
            check = validate.finite(torch.cat([s.explained.reshape(-1) for s in seeds]))
            dense = [self.way.seeds(seed) for seed in seeds]
            found = run_many(relevance, dense, [*self.leaves, *self.kept], at_once)
        check()
        return [self._explanation(s, results) for s, results in zip(seeds, found, strict=True)]

    @property
    def explained_output(self) -> Tensor:
        """The output that targets speak of."""
        return self.outputs[self.ways.plan.output.position]

    def _explain(self, target: Target, position: Position, kept: list[Any]) -> Explanation:
        with torch.set_grad_enabled(self.way.with_grad):
            seed = seed_of(self.explained_output, target, position)
        return self._from(seed, kept)

    def _from(self, seed: Seed, kept: list[Any]) -> Explanation:
        given = self.leaves if self.rows is None else [*self.leaves, self.rows]
        values = [*self.way.seeds(seed), *given, *kept]
        kept.clear()
        check = validate.finite(seed.explained)
        with torch.set_grad_enabled(self.way.with_grad):
            results = list(self.way.relevance(values))
        found = self._explanation(seed, results)
        check()
        return found

    def _explanation(self, seed: Seed, results: list[Tensor]) -> Explanation:
        wanted = self.way.wanted
        versions = validate.versions(self.ways.plan.captured, self.leaves)
        return Explanation(
            known_output=self.output,
            explained=seed.explained,
            relevance=wanted.relevance(results),
            coefficient=wanted.coefficients(results),
            provenance=self.ways.provenance,
            known_ledger=self._ledger(wanted, results, seed) if wanted.entries else None,
            run_again=partial(self._run_again, versions) if self.output_later else None,
            recount=lambda: self._recount(seed.detached(), versions),
        )

    def _hold_unchanged(self, versions: tuple[int, ...], advice: str) -> None:
        if validate.versions(self.ways.plan.captured, self.leaves) != versions:
            raise InputError(
                "inputs or parameters were changed in place since this explanation was computed;"
                f" ask for {advice}"
            )

    def _run_again(self, versions: tuple[int, ...]) -> Any:
        """The model's output, by another forward pass."""
        self._hold_unchanged(versions, "the output at once with explain(..., full_output=True)")
        with torch.no_grad():
            outputs = self.ways.output_alone(*self.leaves)
        return pytree.tree_unflatten(outputs, self.ways.plan.captured.out_spec)

    def _recount(self, seed: Seed, versions: tuple[int, ...]) -> Ledger:
        """Runs the explanation again with the ledger's sums."""
        self._hold_unchanged(versions, "the ledger at once with explain(..., ledger=True)")
        way = self.ways.audited
        with torch.no_grad():
            kept = list(way.forward(*self.leaves))[way.wanted.program.outputs :]
            results = list(way.relevance([*way.seeds(seed), *self.leaves, *kept]))
        return self._ledger(way.wanted, results, seed)

    def _ledger(self, wanted: Wanted, results: list[Tensor], seed: Seed) -> Ledger:
        plan = self.ways.plan
        found = wanted.relevance(results)
        arrived = {name: float(found[name].double().sum()) for name in ends(plan)}
        accounts = read_accounts(wanted.entries, wanted.sums(results), plan)
        total = float(seed.explained.sum())
        return ledger_of(total, arrived, accounts, validate.coarsest_dtype(plan))
