"""Run programs on inputs: check, prove, run forward, run relevance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..capture import Captured
from ..errors import InputError, TargetError
from ..graphs.nodes import device_of, value
from ..promises.costs import Costs
from ..results.explanation import Explanation
from .background import Background, Repeat, explain_background
from .forward import Forward, ModelRun
from .inputs import count_versions, enter_run, flatten_inputs, guard_run
from .program_pairs import ProgramPair, ProgramPairs
from .proof import Proof, require_rows
from .randomness import RandomState, seeded
from .reference import flatten_reference, require_reference
from .request import Request
from .target import Position, Target, is_rows, rows_of, take_rows
from .traces import Tracer

_Pair = tuple[Target, Position]


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
        require_reference(self.pairs.plan.preset, request.reference)
        if isinstance(request.reference, Background):
            return self._explain_background(inputs, request, request.reference)
        with enter_run(self.captured), seeded(self.captured, request.seed):
            if self._takes_one_row(request):
                return self._explain_rows(inputs, request)
            run, kept = self._run(inputs, self._pair_for(request), request.reference)
            found = run.explain(run.seed(request.target, request.position), kept)
        if request.create_graph and request.ledger:
            return replace(found, stored_ledger=found.ledger)
        return found

    def forward(
        self,
        inputs: Any,
        *,
        at_rows: bool = False,
        seed: int | None = None,
        reference: Any = None,
    ) -> Forward:
        """Run the model once and keep its promises. Raises InputError."""
        require_reference(self.pairs.plan.preset, reference)
        if isinstance(reference, Background):
            raise InputError(
                "a forward pass compares with one reference: a Background goes with explain()"
            )
        with enter_run(self.captured), seeded(self.captured, seed):
            run, kept = self._run(inputs, self.pairs.for_rows(at_rows), reference)
        return Forward(run, tuple(kept), count_versions(self.captured, run.leaves))

    def trace(self, inputs: Any, *, seed: int | None = None) -> Tracer:
        """Run the model once, for relevance through inner sources. Raises InputError."""
        plan = self.pairs.plan
        if plan.preset.runs == 2:
            raise InputError(
                f"tracing is not available under preset {plan.preset.name!r}, which compares two"
                " runs: choose a preset of one run"
            )
        bent = next((a for a in plan.assignments if not a.rule.linear), None)
        if bent is not None:
            raise InputError(
                f"tracing is not available under preset {plan.preset.name!r}: rule"
                f" {bent.rule_text()} at {bent.node.name} does not pass on each share of what"
                " arrives by itself, so no part of relevance is that of one path"
            )
        pair = self.pairs.traced
        count = pair.wanted.program.outputs
        with enter_run(self.captured), seeded(self.captured, seed):
            leaves = flatten_inputs(self.captured, inputs)
            with torch.no_grad(), guard_run(self.captured, leaves):
                random = RandomState.now(self.captured)
                self.proof.check(self.captured, leaves, self.pairs.output_alone)
                values = list(pair.forward(*leaves))
        run = ModelRun(self.pairs, pair, tuple(leaves), tuple(values[:count]), random=random)
        return Tracer(run, tuple(values[count:]), self.pairs.passing)

    def explain_all(
        self,
        inputs: Any,
        targets: Sequence[Any] | None,
        position: Position,
        at_once: int,
        seed: int | None = None,
        reference: Any = None,
    ) -> list[Explanation]:
        """Run the model once, then explain targets together; None: every class."""
        if isinstance(reference, Background):

            def explain(pairs: Any, base: Any, repeat: Repeat) -> list[Explanation]:
                several = targets and [repeat(target) for target in targets]
                return self.explain_all(pairs, several, repeat(position), at_once, seed, base)

            return explain_background(explain, inputs, reference)
        paired = bool(targets) and all(isinstance(t, tuple) for t in targets or ())
        at_rows = is_rows(position) or paired
        forward = self.forward(inputs, at_rows=at_rows, seed=seed, reference=reference)
        if targets is None:
            targets = list(range(forward.explained_output.shape[-1]))
        pairs: list[_Pair] = list(targets) if paired else [(t, position) for t in targets]
        return forward.explain_all(pairs, max(1, at_once))

    def _explain_background(
        self, inputs: Any, request: Request, background: Background
    ) -> Explanation:
        def explain(pairs: Any, base: Any, repeat: Repeat) -> list[Explanation]:
            target, position = repeat(request.target), repeat(request.position)
            one = replace(request, target=target, position=position, reference=base)
            return [self.explain(pairs, one)]

        return explain_background(explain, inputs, background)[0]

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

    def _run(
        self, inputs: Any, pair: ProgramPair, reference: Any = None
    ) -> tuple[ModelRun, list[Any]]:
        """Run a forward program; return what it returned and the values it kept."""
        leaves = flatten_inputs(self.captured, inputs)
        self.pairs.require_budget(pair, leaves)
        count = pair.wanted.program.outputs
        if reference is not None:
            return self._run_two(leaves, flatten_reference(self.captured, reference, inputs), pair)
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

    def _run_two(
        self, leaves: list[Any], base: list[Any], pair: ProgramPair
    ) -> tuple[ModelRun, list[Any]]:
        """Run a forward program on inputs and reference."""
        count = pair.wanted.program.outputs
        with torch.no_grad(), guard_run(self.captured, leaves):
            random = RandomState.now(self.captured)
            for one in (leaves, base):
                self.proof.check(self.captured, one, self.pairs.output_alone)
            tensors = [leaf for leaf in base if isinstance(leaf, Tensor)]
            values = list(pair.forward(*leaves, *tensors))
        both = (*leaves, *tensors)
        return ModelRun(self.pairs, pair, both, tuple(values[:count]), random=random), values[
            count:
        ]

    def _explain_rows(self, inputs: Any, request: Request) -> Explanation:
        """Explain a class where the output is computed at one row per sample only."""
        if not is_rows(request.position):
            raise TargetError("full_output=False needs a position: one, or one per sample")
        pair, leaves = self.pairs.only_row, flatten_inputs(self.captured, inputs)
        self.pairs.require_budget(pair, leaves)
        sizes = Costs(self.captured.shapes.sizes(leaves))
        example = value(self.pairs.plan.output.node)
        batch, positions = (sizes.size_as_int(size) for size in example.shape[:2])
        rows = rows_of(request.position, batch, positions, device_of(example))
        with torch.no_grad(), guard_run(self.captured, leaves):
            # Before anything is kept: the comparison needs the whole output.
            own = self.proof.check(self.captured, leaves, self.pairs.output_alone)
            position = self.pairs.plan.output.position
            own_row = None if own is None else take_rows(own[position], rows)
            del own
            row, *kept = pair.forward(*leaves, rows)
            if own_row is not None and not self.pairs.compile:
                require_rows(row, own_row)
        later = request.full_output is None
        run = ModelRun(self.pairs, pair, tuple(leaves), (row,), rows, output_later=later)
        return run.explain(run.seed_rows(request.target, positions), kept)
