"""Run programs on inputs: check, prove, run forward, run relevance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from ..capture import Captured
from ..errors import InputError, TargetError
from ..graphs.nodes import value
from ..promises.costs import Costs
from ..results.explanation import Explanation
from .forward import Forward, ModelRun
from .inputs import count_versions, enter_run, flatten_inputs, guard_run
from .program_pairs import ProgramPair, ProgramPairs
from .proof import Proof, require_rows
from .randomness import RandomState, seeded
from .target import Position, Target, is_class, is_rows, rows_of, take_rows

_Pair = tuple[Target, Position]


@dataclass(frozen=True)
class Request:
    """The request for one explanation; the fields are those of `Engine.explain`."""

    target: Target = None
    position: Position = None
    ledger: bool = False
    create_graph: bool = False
    full_output: bool | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.full_output is False and (self.ledger or self.create_graph):
            raise InputError("full_output=False goes with neither ledger nor create_graph")

    @property
    def may_skip_rows(self) -> bool:
        """True if one row per sample says everything that is asked for."""
        whole = self.ledger or self.create_graph
        return not whole and is_class(self.target) and is_rows(self.position)


@dataclass(frozen=True)
class Explainer:
    """The programs of one plan, with the proof that they compute what the model computes."""

    pairs: ProgramPairs
    proof: Proof

    @property
    def captured(self) -> Captured:
        """The graph that the programs were written from."""
        return self.pairs.plan.captured

    def explain(self, inputs: Any, request: Request) -> Explanation:
        """Run forward and relevance program once. Raises InputError and TargetError."""
        with enter_run(self.captured), seeded(self.captured, request.seed):
            if self._takes_one_row(request):
                return self._explain_rows(inputs, request)
            run, kept = self._run(inputs, self._pair_for(request))
            found = run.explain(run.seed(request.target, request.position), kept)
        if request.create_graph and request.ledger:
            return replace(found, stored_ledger=found.ledger)
        return found

    def forward(self, inputs: Any, *, at_rows: bool = False, seed: int | None = None) -> Forward:
        """Run the model once and keep its promises. Raises InputError."""
        with enter_run(self.captured), seeded(self.captured, seed):
            run, kept = self._run(inputs, self.pairs.for_rows(at_rows))
        return Forward(run, tuple(kept), count_versions(self.captured, run.leaves))

    def explain_all(
        self,
        inputs: Any,
        targets: Sequence[Any] | None,
        position: Position,
        at_once: int,
        seed: int | None = None,
    ) -> list[Explanation]:
        """Run the model once, then explain targets together; None: every class."""
        paired = bool(targets) and all(isinstance(t, tuple) for t in targets or ())
        forward = self.forward(inputs, at_rows=is_rows(position) or paired, seed=seed)
        if targets is None:
            targets = list(range(forward.explained_output.shape[-1]))
        pairs: list[_Pair] = list(targets) if paired else [(t, position) for t in targets]
        return forward.explain_all(pairs, max(1, at_once))

    def _takes_one_row(self, request: Request) -> bool:
        if request.full_output is False:
            return True
        by_default = request.full_output is None and request.may_skip_rows
        return by_default and self.pairs.rows_by_default

    def _pair_for(self, request: Request) -> ProgramPair:
        if request.create_graph:
            return self.pairs.differentiable
        if request.ledger:
            return self.pairs.audited
        return self.pairs.for_rows(is_rows(request.position))

    def _run(self, inputs: Any, pair: ProgramPair) -> tuple[ModelRun, list[Any]]:
        """Run a forward program; return what it returned and the values it kept."""
        leaves = flatten_inputs(self.captured, inputs)
        self.pairs.require_budget(pair, leaves)
        count = pair.wanted.program.outputs
        with torch.set_grad_enabled(pair.with_grad), guard_run(self.captured, leaves):
            random = RandomState.now(self.captured)
            if self.pairs.compile or pair.with_grad:
                # These round otherwise; they are compared with the plain programs elsewhere.
                self.proof.check(self.captured, leaves, self.pairs.output_alone)
                values = list(pair.forward(*leaves))
            else:
                own = self.proof.run_model(self.captured, leaves)
                values = list(pair.forward(*leaves))
                self.proof.compare(self.captured, leaves, values[:count], own)
        run = ModelRun(self.pairs, pair, tuple(leaves), tuple(values[:count]), random=random)
        return run, values[count:]

    def _explain_rows(self, inputs: Any, request: Request) -> Explanation:
        """Explain a class where the output is computed at one row per sample only."""
        if not is_rows(request.position):
            raise TargetError("full_output=False needs a position: one, or one per sample")
        pair, leaves = self.pairs.only_row, flatten_inputs(self.captured, inputs)
        self.pairs.require_budget(pair, leaves)
        sizes = Costs(self.captured.shapes.sizes(leaves))
        example = value(self.pairs.plan.output.node)
        batch, positions = (sizes.size_as_int(size) for size in example.shape[:2])
        rows = rows_of(request.position, batch, positions, example.device)
        with torch.no_grad(), guard_run(self.captured, leaves):
            # Before anything is kept: the comparison needs the whole output.
            own = self.proof.check(self.captured, leaves, self.pairs.output_alone)
            own_row = own and take_rows(own[self.pairs.plan.output.position], rows)
            del own
            row, *kept = pair.forward(*leaves, rows)
            if own_row is not None and not self.pairs.compile:
                require_rows(row, own_row)
        later = request.full_output is None
        run = ModelRun(self.pairs, pair, tuple(leaves), (row,), rows, output_later=later)
        return run.explain(run.seed_rows(request.target, positions), kept)
