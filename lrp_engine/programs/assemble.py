"""Write the programs of a plan: propagate, gather the relevance at sources, resolve promises."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, fx

from ..capture.ambient import leave_modes
from ..errors import RuleError
from ..graphs.nodes import describe
from ..graphs.precision import change
from ..method.call import Form
from ..method.relevance import relevance_of, widen
from ..plan.plan import Plan
from ..promises.costs import SymbolSizes
from ..promises.policy import PolicyOrBudget
from ..propagate.accounts import AccountEntry, write_accounts
from ..propagate.propagator import Propagation, Start, propagate, start_at_output
from ..propagate.trace_cache import TraceCache
from .program import Program, build_program


@dataclass(frozen=True)
class AssembledProgram:
    """Both programs, and how to read the relevance program's flat results.

    The results are R at each source, then c at each source, then the numbers of the ledger's
    entries, if it is computed in the same pass.
    """

    program: Program
    source_names: tuple[str, ...]
    ledger_entries: tuple[AccountEntry, ...]

    def relevance_in(self, results: Sequence[Tensor]) -> dict[str, Tensor]:
        """Return R at each source, in the source's shape and the unit of the explained number."""
        return dict(zip(self.source_names, results, strict=False))

    def coefficients_in(self, results: Sequence[Tensor]) -> dict[str, Tensor]:
        """Return c at each source, in the source's shape."""
        return dict(zip(self.source_names, results[len(self.source_names) :], strict=False))

    def at_sources(self, results: Sequence[Tensor]) -> Sequence[Tensor]:
        """Return R and c at every source."""
        return results[: 2 * len(self.source_names)]

    def ledger_sums_in(self, results: Sequence[Tensor]) -> list[float]:
        """Return the numbers that `read_accounts` takes together with `ledger_entries`."""
        scalars = list(results[2 * len(self.source_names) :])
        return torch.stack(scalars).tolist() if scalars else []


@leave_modes()
def write_program(
    plan: Plan,
    policy: PolicyOrBudget,
    traces: TraceCache,
    *,
    accounts: bool = False,
    start: Start = start_at_output,
    sizes: SymbolSizes | None = None,
    fused: bool = False,
) -> AssembledProgram:
    """Write the programs of a plan.

    Args:
        plan: The rule that serves each op.
        policy: What to keep between the programs.
        traces: Traces of rules; sharing it between plans of one model saves time.
        accounts: Compute the ledger in the same pass.
        start: Seeds the output.
        sizes: Sizes at which the policy weighs bytes; by default those of the capture.
        fused: The programs will be compiled.

    Raises:
        PromiseError: the policy is a budget that is too small.
        RuleError: a rule failed, or no rule passed relevance on to a source.
    """
    propagation = propagate(plan, traces, start)
    names = tuple(source.name for source in plan.sources)
    found = [_read_source(propagation, source.node, traces) for source in plan.sources]
    relevance, coefficients = [r for r, _ in found], [c for _, c in found]
    entries, sums = write_accounts(propagation, traces) if accounts else ((), [])
    program = build_program(
        propagation.joint,
        plan.captured.tensors,
        propagation.outputs,
        [*relevance, *coefficients, *sums],
        policy,
        sizes,
        fused=fused,
    )
    return AssembledProgram(program, names, entries)


def find_final_sources(plan: Plan) -> Mapping[str, fx.Node]:
    """Return the sources at which relevance stays, rather than passing on to another source.

    Of several names for one value, the first counts.
    """
    passing = {a.node for a in plan.assignments}
    names = {s.node: s.name for s in reversed(plan.sources) if s.node not in passing}
    return {name: node for node, name in names.items()}


def _read_source(
    propagation: Propagation, node: fx.Node, traces: TraceCache
) -> tuple[fx.Node, fx.Node]:
    """Return (R, c) at a source. Relevance that arrives as such is kept, even where a = 0."""
    relevance = None
    if propagation.flows.holds_relevance(node):
        relevance = _collect(propagation, node, Form.RELEVANCE)
    c = _collect(propagation, node, Form.COEFFICIENT)
    if relevance is not None:
        return _write(propagation, widen, traces, node, relevance), c
    joint = propagation.joint
    a = joint.forward(node)
    if joint.references:
        a = _write(propagation, change, traces, node, a, joint.reference(node))
    return _write(propagation, relevance_of, traces, node, c, a), c


def _collect(propagation: Propagation, node: fx.Node, form: Form) -> fx.Node:
    flow = propagation.flows.at(node, form)
    if flow is None:
        raise RuleError(
            f"no rule passed relevance on to the source {describe(node)}: choose another source,"
            " or rules under which relevance reaches it"
        )
    return flow


def _write(
    propagation: Propagation,
    function: Callable[..., Tensor],
    traces: TraceCache,
    node: fx.Node,
    *arguments: fx.Node,
) -> fx.Node:
    return propagation.joint.write_function(function, arguments, node, traces.functions)[0]
