"""Serve the linear recurrence h_t = a_t h_(t-1) + b_t: every product at its midpoint."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from lrp_engine.method.call import Call, Coefficients
from lrp_engine.method.op import Recurrence
from lrp_engine.method.rule import rule
from lrp_engine.rules.recurrence import arriving, before, coefficients_of
from lrp_engine.rules.two_runs.runs import choice, definite, over_settings


def slopes(call: Call[Recurrence], c: Tensor) -> tuple[Tensor, ...]:
    """Return u_t = c_t + am_(t+1) u_(t+1) for the inflow, and u_t hm_(t-1) for the decay."""
    decay = (call["decay"] + call.base["decay"]) / 2
    u = arriving(call, c, decay)
    state = before(replace(call, out=(call.out + call.base.out) / 2))
    return definite(coefficients_of(call, u * state, u))


@rule(
    "delta",
    family=Recurrence,
    cites="own: exact differences, docs/two-runs.md",
    absorbs=choice,
    runs=2,
)
def recurrence(call: Call[Recurrence], c: Tensor) -> Coefficients:
    """Treat every step as a product of two means and a sum."""
    return over_settings(call, lambda one: slopes(one, c))
