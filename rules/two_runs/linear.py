"""Serve what is linear: the adjoint. Biases are the same in both runs and cancel."""

from __future__ import annotations

from torch import Tensor

from lrp_engine.method.call import Arriving, Call, Coefficients
from lrp_engine.method.op import Linear, Lookup, Move, Op, WeightedSum
from lrp_engine.method.rule import rule
from lrp_engine.rules import epsilon, moves
from lrp_engine.rules import linear as one_run
from lrp_engine.rules import stop as tables
from lrp_engine.rules.two_runs.runs import choice, definite, over_settings


@rule(
    "delta", family=Move, cites="own: exact differences, docs/two-runs.md", absorbs=choice, runs=2
)
def move(call: Call[Op], c: Arriving) -> Coefficients:
    """Move coefficients back to where entries came from; a detached value changed all the same."""
    return over_settings(call, lambda one: definite(moves.adjoint.propagate(one, c)))


@rule(
    "delta", family=Lookup, cites="own: exact differences, docs/two-runs.md", absorbs=choice, runs=2
)
def lookup(call: Call[Op], c: Arriving) -> Coefficients:
    """Give a table what its rows got."""
    return over_settings(call, lambda one: definite(tables.adjoint.propagate(one, c)))


@rule(
    "delta", family=Linear, cites="own: exact differences, docs/two-runs.md", absorbs=choice, runs=2
)
def linear(call: Call[Linear], c: Arriving) -> Coefficients:
    """Apply the adjoint, c_in = A^T c."""
    return over_settings(call, lambda one: definite(one_run.adjoint.propagate(one, c)))


@rule(
    "delta",
    family=WeightedSum,
    cites="own: exact differences, docs/two-runs.md",
    absorbs=choice,
    runs=2,
)
def weighted_sum(call: Call[WeightedSum], c: Tensor) -> Coefficients:
    """Apply the adjoint, c_in = W^T c."""
    return over_settings(call, lambda one: definite(epsilon.zero.propagate(one, c)))
