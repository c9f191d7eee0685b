"""Hold the programs of a plan; each pair is written when it is first wanted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, fx
from torch.nn.attention import SDPBackend, sdpa_kernel

from ..capture.captured import CaptureMode
from ..errors import InputError, PromiseError
from ..graphs.leftovers import clear_caches_with
from ..graphs.tracing_lock import once
from ..plan.plan import Plan
from ..plan.provenance import Provenance, provenance_of
from ..programs.assemble import AssembledProgram, find_final_sources, write_program
from ..programs.compiled import compile_programs
from ..programs.differentiable import make_differentiable
from ..programs.eager import generate_eager
from ..programs.program import ProgramFunction, build_forward_only
from ..promises.policy import MemoryBudget, Policy, PolicyOrBudget, format_bytes
from ..propagate.at_row import can_start_at_row, start_at_only_row, start_at_row
from ..propagate.through import StartAtOutputAnd
from ..propagate.trace_cache import TraceCache
from .target import Seed

SeedTensors = Callable[[Seed], list[Tensor]]


def seed_in_full(seed: Seed) -> list[Tensor]:
    """Return what a relevance program starts from that starts at the whole output."""
    return [seed.dense()]


def seed_row_and_place(seed: Seed) -> list[Tensor]:
    """Return what a program starts from that starts at one row, and is told which."""
    assert seed.row is not None
    return [seed.row.weights.unsqueeze(1), seed.row.rows]


def seed_row_alone(seed: Seed) -> list[Tensor]:
    """Return what a program starts from whose forward program was told the row."""
    assert seed.row is not None
    return [seed.row.weights.unsqueeze(1)]


@dataclass(frozen=True)
class ProgramPair:
    """A forward and a relevance program, ready to run, and how to read their results.

    `seed_tensors` gives what the relevance program starts from.
    """

    wanted: AssembledProgram
    forward: ProgramFunction
    relevance: ProgramFunction
    seed_tensors: SeedTensors = seed_in_full
    with_grad: bool = False

    @classmethod
    def of(
        cls,
        wanted: AssembledProgram,
        *,
        compiled: bool | str,
        seed_tensors: SeedTensors = seed_in_full,
    ) -> ProgramPair:
        """Make written programs ready to run, as they are or through torch.compile."""
        program = wanted.program
        if compiled:
            runs = compile_programs(program, compiled if isinstance(compiled, str) else None)
        else:
            runs = (generate_eager(program.forward), generate_eager(program.relevance))
        return cls(wanted, *runs, seed_tensors)


class ProgramPairs:
    """The programs of one plan under one policy, each pair written when it is first asked for.

    Args:
        plan: which rule serves which op.
        policy: what is kept between the two programs.
        compile: run programs through torch.compile; a string is its mode.
        traces: traces of rules, which several plans of one model may share.
        sizes: the example's own sizes by symbol: a budget is met at them.
    """

    def __init__(
        self,
        plan: Plan,
        policy: PolicyOrBudget,
        compile: bool | str,
        traces: TraceCache,
        sizes: Mapping[Any, int],
    ) -> None:
        self.plan = plan
        self.policy = policy
        self.compile = compile
        self._traces = traces
        self._sizes = sizes
        self._within_budget: set[tuple[int, tuple[int, ...]]] = set()
        clear_caches_with(self, plan.captured.graph)  # an explanation may outlive its engine

    def with_plan(self, plan: Plan) -> ProgramPairs:
        """Return the programs of another plan of the same model; traces are shared."""
        return ProgramPairs(plan, self.policy, self.compile, self._traces, self._sizes)

    def with_policy(self, policy: PolicyOrBudget) -> ProgramPairs:
        """Return the same plan's programs under another policy; traces are shared."""
        return ProgramPairs(self.plan, policy, self.compile, self._traces, self._sizes)

    def with_compile(self, compile: bool | str) -> ProgramPairs:
        """Return the same programs, compiled or not; traces are shared."""
        return ProgramPairs(self.plan, self.policy, compile, self._traces, self._sizes)

    @once
    def provenance(self) -> Provenance:
        """Versions and hashes that every result carries."""
        return provenance_of(self.plan)

    @once
    def whole(self) -> ProgramPair:
        """Programs that start from the whole output."""
        return ProgramPair.of(self._write(), compiled=self.compile)

    @once
    def at_row(self) -> ProgramPair | None:
        """Programs that start from one row of the output, or None.

        None if the output has no independent rows or the budget does not allow it. Both pairs give
        the same relevance.
        """
        if not can_start_at_row(self.plan):
            return None
        try:
            wanted = self._write(start=start_at_row)
        except PromiseError:
            return None  # the whole output's programs may keep to a budget that these cannot
        return ProgramPair.of(wanted, compiled=self.compile, seed_tensors=seed_row_and_place)

    @once
    def only_row(self) -> ProgramPair:
        """Programs that are told the row and compute no other row of the output.

        Raises InputError if the output has no rows that are computed by themselves.
        """
        if self.plan.captured.draws:
            raise InputError(
                "full_output=False is not available: the model draws random numbers, and would draw"
                " others if it computed one position only. Omit full_output."
            )
        if self.plan.preset.runs == 2:
            raise InputError(
                f"full_output=False is not available under preset {self.plan.preset.name!r}: two"
                " runs are compared over the whole output. Omit full_output."
            )
        if not self.has_rows:
            raise InputError(
                f"full_output=False is not available for output {self.plan.output.name!r}:"
                " computing one position requires the others. Omit full_output."
            )
        wanted = self._write(start=start_at_only_row)
        return ProgramPair.of(wanted, compiled=self.compile, seed_tensors=seed_row_alone)

    @once
    def has_rows(self) -> bool:
        """True if one row of the output can be computed and explained without the others.

        Both runs' outputs are computed whole.
        """
        return self.plan.preset.runs == 1 and can_start_at_row(self.plan)

    @once
    def rows_by_default(self) -> bool:
        """True if a class at one position is explained so, its output computed again on demand.

        A recorded capture is compared with the model at every call, for which the whole output is
        needed anyway; a model that draws random numbers would give another output.
        """
        captured = self.plan.captured
        recorded = captured.mode is CaptureMode.RECORDED
        return self.has_rows and not recorded and not captured.draws

    @once
    def output_alone(self) -> fx.GraphModule:
        """The forward pass with nothing kept: flat outputs."""
        return build_forward_only(self.plan.captured)

    @once
    def audited(self) -> ProgramPair:
        """Programs that compute the ledger in the same pass."""
        return ProgramPair.of(self._write(accounts=True, fused=False), compiled=False)

    @once
    def differentiable(self) -> ProgramPair:
        """Programs whose every op torch can differentiate: fused attention's backward is not one.

        The rules are traced anew, with attention as products and a softmax.
        """
        with sdpa_kernel(SDPBackend.MATH):
            wanted = write_program(self.plan, self.policy, TraceCache(), sizes=self._sizes)
        wanted = replace(wanted, program=make_differentiable(wanted.program))
        return replace(ProgramPair.of(wanted, compiled=False), with_grad=True)

    @once
    def passing(self) -> tuple[str, ...]:
        """Names of the sources at which relevance passes on to others."""
        final = find_final_sources(self.plan)
        return tuple(s.name for s in self.plan.sources if s.name not in final)

    @once
    def traced(self) -> ProgramPair:
        """Programs that also start from each passing source, and that torch can differentiate.

        Where relevance later passed is a derivative of what arrives by what is added on its way.
        """
        nodes = tuple(s.node for s in self.plan.sources if s.name in self.passing)
        with sdpa_kernel(SDPBackend.MATH):
            wanted = write_program(
                self.plan, Policy.KEEP, TraceCache(), start=StartAtOutputAnd(nodes)
            )
        wanted = replace(wanted, program=make_differentiable(wanted.program))

        def seeds(seed: Seed) -> list[Tensor]:
            whole = seed.dense()
            return [whole, *(whole.new_zeros(()) for _ in nodes)]

        return ProgramPair.of(wanted, compiled=False, seed_tensors=seeds)

    def for_rows(self, rows: bool) -> ProgramPair:
        """Return the programs that serve targets at single rows, or anywhere."""
        return (self.at_row if rows else None) or self.whole

    def require_budget(self, pair: ProgramPair, leaves: Sequence[Any]) -> None:
        """Raise InputError if larger inputs than the example's would exceed the budget."""
        if not isinstance(self.policy, MemoryBudget):
            return
        program = pair.wanted.program
        sizes = self.plan.captured.shapes.sizes(leaves)
        key = (id(program), tuple(sizes.values()))
        if key in self._within_budget or sizes == self._sizes:
            return
        peak = program.predict_memory(sizes).peak
        if peak > self.policy.bytes:
            raise InputError(
                f"inputs of these sizes need {peak} bytes ({format_bytes(peak)}), the budget is"
                f" {self.policy.bytes}: explain fewer at a time, or make an Engine with these"
                " inputs as its example, or with a larger budget"
            )
        self._within_budget.add(key)

    def _write(self, **options: Any) -> AssembledProgram:
        options = {"fused": bool(self.compile)} | options
        return write_program(self.plan, self.policy, self._traces, sizes=self._sizes, **options)
