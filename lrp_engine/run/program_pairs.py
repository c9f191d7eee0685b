"""The programs of a plan, each pair written when it is first wanted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from torch import Tensor, fx
from torch.nn.attention import SDPBackend, sdpa_kernel

from ..capture.captured import How
from ..errors import InputError, PromiseError
from ..plan.plan import Plan
from ..plan.provenance import Provenance, provenance_of
from ..programs.assemble import Wanted, write_program
from ..programs.compiled import compiled as through_compiler
from ..programs.differentiable import made_differentiable
from ..programs.eager import eager
from ..programs.program import Run, forward_alone
from ..promises.costs import is_random
from ..promises.policy import Budget, Choice, readable
from ..propagate.at_row import can_start_at_row, start_at_only_row, start_at_row
from ..propagate.trace_cache import Cache
from .target import Seed


def in_full(seed: Seed) -> list[Tensor]:
    """For a relevance program that starts from the whole output."""
    return [seed.dense()]


def row_and_place(seed: Seed) -> list[Tensor]:
    """For one that starts from one row, and is told which."""
    assert seed.row is not None
    return [seed.row.weights.unsqueeze(1), seed.row.rows]


def row_alone(seed: Seed) -> list[Tensor]:
    """For one that starts from the row that the forward program was told."""
    assert seed.row is not None
    return [seed.row.weights.unsqueeze(1)]


@dataclass(frozen=True)
class Way:
    """One pair of programs, ready to run, and how to read their results.

    `seeds` gives what the relevance program starts from.
    """

    wanted: Wanted
    forward: Run
    relevance: Run
    seeds: Callable[[Seed], list[Tensor]] = in_full
    with_grad: bool = False

    @classmethod
    def of(
        cls,
        wanted: Wanted,
        *,
        compiled: bool | str,
        seeds: Callable[[Seed], list[Tensor]] = in_full,
    ) -> Way:
        """The programs as they are, or through torch.compile."""
        program = wanted.program
        if compiled:
            runs = through_compiler(program, compiled if isinstance(compiled, str) else None)
        else:
            runs = (eager(program.forward), eager(program.relevance))
        return cls(wanted, *runs, seeds)


@dataclass(frozen=True)
class Ways:
    """What there is to run for one plan under one policy; `cache` holds traces and may be shared.

    `sizes` are the example's own: a budget is met at them.
    """

    plan: Plan
    policy: Choice
    compile: bool | str
    cache: Cache
    sizes: Mapping[Any, int]
    _within_budget: set[tuple[int, tuple[int, ...]]] = field(default_factory=set)

    @cached_property
    def provenance(self) -> Provenance:
        """Versions and hashes that every result carries."""
        return provenance_of(self.plan)

    @cached_property
    def whole(self) -> Way:
        """Programs that start from the whole output."""
        return Way.of(self._written(), compiled=self.compile)

    @cached_property
    def at_row(self) -> Way | None:
        """Programs that start from one row of the output, if the output has independent rows and
        the budget allows it; both ways give the same."""
        if not self.has_rows:
            return None
        try:
            wanted = self._written(start=start_at_row)
        except PromiseError:
            return None  # the whole output's programs may keep to a budget that these cannot
        return Way.of(wanted, compiled=self.compile, seeds=row_and_place)

    @cached_property
    def only_row(self) -> Way:
        """Programs that are told the row and compute no other row of the output.

        Raises InputError if the output has no rows that are computed by themselves.
        """
        if not self.has_rows:
            raise InputError(
                f"output {self.plan.output.name!r} is needed in full: its rows (batch, position)"
                " are not each computed from one row of what is before; leave full_output out"
            )
        wanted = self._written(start=start_at_only_row)
        return Way.of(wanted, compiled=self.compile, seeds=row_alone)

    @cached_property
    def has_rows(self) -> bool:
        """Whether one row of the output can be computed and explained without the others."""
        return can_start_at_row(self.plan)

    @cached_property
    def rows_by_default(self) -> bool:
        """Whether that is what a class at one position gets, its output computed again on demand.

        A recorded capture is compared with the model at every call, for which the whole output is
        needed anyway; a model that draws random numbers would give another output.
        """
        captured = self.plan.captured
        random = any(is_random(n) for n in captured.graph.nodes if n.op == "call_function")
        return self.has_rows and captured.how is not How.RECORDED and not random

    @cached_property
    def output_alone(self) -> fx.GraphModule:
        """The forward pass with nothing kept: flat outputs."""
        return forward_alone(self.plan.captured)

    @cached_property
    def audited(self) -> Way:
        """Programs that compute the ledger in the same pass."""
        return Way.of(self._written(accounts=True, fused=False), compiled=False)

    @cached_property
    def differentiable(self) -> Way:
        """Programs whose every op torch can differentiate: fused attention's backward is not one.

        The rules are traced anew, with attention as products and a softmax.
        """
        with sdpa_kernel(SDPBackend.MATH):
            wanted = write_program(self.plan, self.policy, {}, sizes=self.sizes)
        made_differentiable(wanted.program)
        return replace(Way.of(wanted, compiled=False), with_grad=True)

    def hold_to_budget(self, way: Way, leaves: list[Any]) -> None:
        """A budget was met at the example's sizes; larger inputs may need more."""
        if not isinstance(self.policy, Budget):
            return
        program = way.wanted.program
        sizes = self.plan.captured.shapes.sizes(leaves)
        key = (id(program), tuple(sizes.values()))
        if key in self._within_budget or sizes == self.sizes:
            return
        peak = program.foretell(sizes).peak
        if peak > self.policy.bytes:
            raise InputError(
                f"inputs of these sizes need {peak} bytes ({readable(peak)}), the budget is"
                f" {self.policy.bytes}: explain fewer at a time, or make an Engine with these"
                " inputs as its example, or with a larger budget"
            )
        self._within_budget.add(key)

    def _written(self, **options: Any) -> Wanted:
        options = {"fused": bool(self.compile)} | options
        return write_program(self.plan, self.policy, self.cache, sizes=self.sizes, **options)
