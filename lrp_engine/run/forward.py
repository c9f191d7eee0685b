"""One forward pass, and the explanations that follow from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn

import torch
from torch import Tensor

from ..capture.ambient import leave_modes
from ..errors import InputError, NotFiniteError
from ..graphs.precision import rounding_tolerance
from ..markup import Overview, Shown
from ..programs.assemble import AssembledProgram, find_final_sources
from ..programs.batched import run_many
from ..propagate.accounts import read_accounts
from ..propagate.ledger import Ledger, ledger_of
from ..results.explanation import Explanation
from ..show.labels import Labels
from .all_outputs import of_all_outputs
from .finiteness import Finite, ask_if_finite, require_finite
from .inputs import count_versions
from .overviews import forward_overview
from .program_pairs import ProgramPair, ProgramPairs
from .proof import agree
from .randomness import NO_DRAWS, RandomState
from .read_labels import read_labels
from .target import Position, Seed, Target, seed_at_rows, seed_between, seed_of, take_rows


@dataclass(frozen=True)
class ModelRun:
    """The inputs and outputs of one forward pass, without the values kept for relevance.

    Of two runs, leaves and outputs are those of the explained run, then those of the reference.
    `rows`: where the output was computed, (batch,), if not everywhere; `output_later` if the whole
    output can be computed on demand; `random`: what its random draws were drawn from.
    """

    pairs: ProgramPairs
    pair: ProgramPair
    leaves: tuple[Any, ...]
    outputs: tuple[Any, ...]
    rows: Tensor | None = None
    output_later: bool = False
    random: RandomState = NO_DRAWS

    @property
    def output(self) -> Any:
        """The model's output, in the model's own structure; None if only `rows` of it are known."""
        if self.rows is not None:
            return None
        own = list(self.outputs)[: len(self.outputs) // self.pairs.plan.preset.runs]
        return self.pairs.plan.captured.unflatten_outputs(own)

    @property
    def explained_output(self) -> Tensor:
        """The output that targets speak of."""
        found: Tensor = self.outputs[self.pairs.plan.output.position]
        return found

    def seed(self, target: Target, position: Position) -> Seed:
        """Resolve a target to what relevance starts from. Raises TargetError."""
        if joined := self._joined_outputs():
            target = of_all_outputs(target, joined)
        with torch.set_grad_enabled(self.pair.with_grad):
            if self.pairs.plan.preset.runs == 1:
                return seed_of(self.explained_output, target, position)
            place = self.pairs.plan.output.position + len(self.outputs) // 2
            return seed_between(self.explained_output, self.outputs[place], target, position)

    def _joined_outputs(self) -> dict[str, torch.Size]:
        """Return the shapes of the outputs that the explained one joins, by name."""
        plan = self.pairs.plan
        ports = [p for p in plan.captured.outputs if p.position in plan.output.joins]
        return {port.name: self.outputs[port.position].shape for port in ports}

    def seed_rows(self, target: Target, positions: int) -> Seed:
        """Resolve a class at the rows that were computed, of so many positions."""
        assert self.rows is not None
        (row,) = self.outputs
        return seed_at_rows(row, target, self.rows, positions)

    def explain(self, seed: Seed, kept: list[Any]) -> Explanation:
        """Run the relevance program. Empties `kept`: each value is freed after its last use."""
        given = self.leaves if self.rows is None else [*self.leaves, self.rows]
        values = [*self.pair.seed_tensors(seed), *given, *kept]
        kept.clear()
        check = ask_if_finite(seed.explained)
        with torch.set_grad_enabled(self.pair.with_grad):
            results = list(self.pair.relevance(values))
        check()
        return self.explanation(seed, results)

    def explanation(self, seed: Seed, results: list[Tensor]) -> Explanation:
        """Put together what a relevance program returned. Raises NotFiniteError."""
        wanted = self.pair.wanted
        versions = count_versions(self.pairs.plan.captured, self.leaves)
        ledger = self._ledger(wanted, results, seed) if wanted.ledger_entries else None
        return Explanation(
            stored_output=self.output,
            explained=seed.explained,
            relevance=wanted.relevance_in(results),
            coefficient=wanted.coefficients_in(results),
            provenance=self.pairs.provenance,
            stored_ledger=ledger,
            compute_output=partial(self._compute_output, versions) if self.output_later else None,
            compute_ledger=lambda: self._compute_ledger(seed.detached(), versions),
            compute_labels=lambda: self._read_labels(seed.detached(), versions),
            require_finite=Finite(
                wanted.at_sources(results), partial(self._blame, seed.detached(), versions)
            ),
        )

    def _read_labels(self, seed: Seed, versions: tuple[int, ...]) -> Labels:
        explained = len(self.leaves) // self.pairs.plan.preset.runs
        return read_labels(self.pairs.plan, self.leaves[:explained], versions, seed)

    def _blame(self, seed: Seed, versions: tuple[int, ...]) -> NoReturn:
        """Raise NotFiniteError, naming the op where relevance first was not finite."""
        self._compute_ledger(seed, versions)  # raises it
        raise NotFiniteError(
            "relevance is not finite, but every op's account is where the ledger computes it again:"
            " compiled programs that disagree, or a conversion at a source that overflows. Explain"
            " with compile=False, or in a wider dtype"
        )

    def _require_unchanged(self, versions: tuple[int, ...], advice: str) -> None:
        if count_versions(self.pairs.plan.captured, self.leaves) != versions:
            raise _changed(advice)

    def _require_same(self, outputs: Sequence[Any], advice: str) -> None:
        """Raise InputError if the model computes something else by now.

        Writes through `.data` are not counted as changes.
        """
        mine = list(self.outputs)
        if self.rows is not None:
            outputs = [take_rows(outputs[self.pairs.plan.output.position], self.rows)]
        slack = rounding_tolerance(self.pairs.plan.coarsest_dtype()) if self._rounds else 0.0
        if not all(agree(now, was, slack) for now, was in zip(outputs, mine, strict=True)):
            raise _changed(advice)

    @property
    def _rounds(self) -> bool:
        """True if this pass was run by programs that round otherwise than the plain ones."""
        return bool(self.pairs.compile) or self.pair.with_grad

    def _compute_output(self, versions: tuple[int, ...]) -> Any:
        """Compute the model's output by another forward pass."""
        self._require_unchanged(versions, "the output at once with explain(..., full_output=True)")
        with leave_modes(), torch.no_grad(), self.random.replay():
            outputs = self.pairs.output_alone(*self.leaves)
        self._require_same(outputs, "the output at once with explain(..., full_output=True)")
        return self.pairs.plan.captured.unflatten_outputs(outputs)

    def _compute_ledger(self, seed: Seed, versions: tuple[int, ...]) -> Ledger:
        """Run the explanation again with the ledger's sums."""
        advice = "the ledger at once with explain(..., ledger=True)"
        self._require_unchanged(versions, advice)
        pair = self.pairs.audited
        with leave_modes(), torch.no_grad(), self.random.replay():
            values, count = list(pair.forward(*self.leaves)), pair.wanted.program.outputs
            self._require_same(values[:count], advice)
            kept = values[count:]
            del values
            results = list(pair.relevance([*pair.seed_tensors(seed), *self.leaves, *kept]))
        return self._ledger(pair.wanted, results, seed)

    def _ledger(self, wanted: AssembledProgram, results: list[Tensor], seed: Seed) -> Ledger:
        plan = self.pairs.plan
        found = wanted.relevance_in(results)
        arrived = {name: float(found[name].double().sum()) for name in find_final_sources(plan)}
        accounts = read_accounts(wanted.ledger_entries, wanted.ledger_sums_in(results), plan)
        total = float(seed.explained.sum())
        ledger = ledger_of(total, arrived, accounts, plan.coarsest_dtype())
        require_finite(ledger)
        return ledger


def _changed(advice: str) -> InputError:
    return InputError(
        "inputs or parameters were changed in place since this explanation was computed;"
        f" ask for {advice}"
    )


@dataclass(frozen=True, repr=False)
class Forward(Shown):
    """One forward pass with its promises kept, from which any number of targets can be explained.

    The kept values stay until this object is dropped; `Engine.explain` frees each of them after its
    last use instead.
    """

    run: ModelRun
    kept: tuple[Any, ...]
    versions: tuple[int, ...]

    def __reduce__(self) -> NoReturn:
        raise InputError(
            "a Forward holds the values of one pass of its engine, which cannot be copied or"
            " pickled: take the engine, or the explanations"
        )

    @property
    def output(self) -> Any:
        """The model's output, in the model's own structure."""
        return self.run.output

    @property
    def explained_output(self) -> Tensor:
        """The output that targets speak of."""
        return self.run.explained_output

    def overview(self) -> Overview:
        """Return its outputs and what it keeps: its text in a terminal or a notebook."""
        return forward_overview(self.run.pairs, self.run.outputs, self.kept)

    def explain(self, target: Target = None, *, position: Position = None) -> Explanation:
        """Explain one target per sample, as `Engine.explain` does. Raises TargetError."""
        with leave_modes():
            self._require_unchanged()
            return self.run.explain(self.run.seed(target, position), list(self.kept))

    def explain_all(
        self, targets: Sequence[tuple[Target, Position]], at_once: int
    ) -> list[Explanation]:
        """Explain (target, position) pairs, `at_once` of them together."""
        if not targets:
            return []
        run, pair = self.run, self.run.pair
        with leave_modes(), torch.set_grad_enabled(pair.with_grad):
            self._require_unchanged()
            seeds = [run.seed(*target) for target in targets]
            check = ask_if_finite(torch.cat([s.explained.reshape(-1) for s in seeds]))
            dense = [pair.seed_tensors(seed) for seed in seeds]
            # torch.vmap cannot run compiled programs.
            batched = pair.wanted.program.batched
            found = run_many(batched, dense, [*run.leaves, *self.kept], at_once)
        check()
        return [run.explanation(s, results) for s, results in zip(seeds, found, strict=True)]

    def _require_unchanged(self) -> None:
        """Raise InputError if the relevance program would read other parameters."""
        if count_versions(self.run.pairs.plan.captured, self.run.leaves) != self.versions:
            raise InputError(
                "inputs or parameters were changed in place since this forward pass: run it again"
            )
