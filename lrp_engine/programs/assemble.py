"""Plan -> Program: propagate, gather what is wanted at the sources, resolve the promises."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from ..errors import RuleError
from ..graphs.nodes import describe
from ..method.call import Form
from ..method.relevance import relevance_of, widen
from ..plan.plan import Plan
from ..promises.policy import PolicyOrBudget
from ..propagate.accounts import AccountEntry, write_accounts
from ..propagate.propagator import (
    Propagation,
    Start,
    propagate,
    start_at_output,
)
from ..propagate.trace_cache import Cache
from .program import Program, build


@dataclass(frozen=True)
class Wanted:
    """How to read the relevance program's flat results."""

    program: Program
    names: tuple[str, ...]
    entries: tuple[AccountEntry, ...]

    def relevance(self, results: list[Tensor]) -> dict[str, Tensor]:
        """R at each source."""
        return dict(zip(self.names, results, strict=False))

    def coefficients(self, results: list[Tensor]) -> dict[str, Tensor]:
        """c at each source."""
        return dict(zip(self.names, results[len(self.names) :], strict=False))

    def sums(self, results: list[Tensor]) -> list[float]:
        """The ledger's numbers."""
        scalars = results[2 * len(self.names) :]
        return torch.stack(scalars).tolist() if scalars else []


def write_program(
    plan: Plan,
    policy: PolicyOrBudget,
    cache: Cache,
    *,
    accounts: bool = False,
    start: Start = start_at_output,
    sizes: Mapping[Any, int] | None = None,
    fused: bool = False,
) -> Wanted:
    """Writes the programs of a plan; with `accounts` the ledger is computed in the same pass.

    `sizes` (by symbol): where the policy weighs bytes; default are the sizes of the capture.
    `fused`: the programs will be compiled.
    """
    propagation = propagate(plan, cache, start)
    names = tuple(source.name for source in plan.sources)
    found = [_at_source(propagation, source.node, cache) for source in plan.sources]
    relevance, coefficients = [r for r, _ in found], [c for _, c in found]
    entries, sums = write_accounts(propagation, cache) if accounts else ((), [])
    program = build(
        propagation.joint,
        plan.captured.tensors,
        propagation.outputs,
        [*relevance, *coefficients, *sums],
        policy,
        sizes,
        fused=fused,
    )
    return Wanted(program, names, entries)


def ends(plan: Plan) -> Mapping[str, fx.Node]:
    """The sources at which relevance stays, rather than passing on to another source."""
    passing = {a.node for a in plan.assignments}
    return {s.name: s.node for s in plan.sources if s.node not in passing}


def _at_source(propagation: Propagation, node: fx.Node, cache: Cache) -> tuple[fx.Node, fx.Node]:
    """(R, c) at a source. Relevance that arrives as such stays as it is, also where a = 0."""
    relevance = None
    if propagation.flows.holds_relevance(node):
        relevance = _collected(propagation, node, Form.RELEVANCE)
    c = _collected(propagation, node, Form.COEFFICIENT)
    if relevance is not None:
        return _write(propagation, widen, cache, node, relevance), c
    a = propagation.joint.forward(node)
    return _write(propagation, relevance_of, cache, node, c, a), c


def _collected(propagation: Propagation, node: fx.Node, form: Form) -> fx.Node:
    flow = propagation.flows.at(node, form)
    if flow is None:
        raise RuleError(f"no rule passed any relevance on to {describe(node)}")
    return flow


def _write(
    propagation: Propagation,
    function: Callable[..., Tensor],
    cache: Cache,
    node: fx.Node,
    *arguments: fx.Node,
) -> fx.Node:
    return propagation.joint.write_function(function, arguments, node, cache)
