"""Serve the linear recurrence h_t = a_t h_(t-1) + b_t of state space models, as one op.

Each rule gives what a rule for products at every a_t h_(t-1), and a rule for sums at every
a_t h_(t-1) + b_t, give together. With u_t for all that arrives at h_t, f_t for what the sum keeps
of it and w_t for what the product hands to h_(t-1), u_t = c_t + f_(t+1) w_(t+1) u_(t+1): the
recurrence again, the other way round, its decay f w.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from lrp_engine.kernels import linear_recurrence
from lrp_engine.kernels.recurrence import previous_states
from lrp_engine.method.call import Call, Coefficients, Passed
from lrp_engine.method.op import Recurrence
from lrp_engine.method.parameters import NotNegative
from lrp_engine.method.relevance import stabilise, sum_relevance
from lrp_engine.method.rule import rule
from lrp_engine.method.samples import positive, real, sample

RECURRENCES = (
    Recurrence(
        target=torch.ops.lrp_engine.linear_recurrence.default,
        operands=("decay", "inflow"),
        samples=(
            sample(positive(2, 4, 3), real(2, 4, 3), 1),
            sample(real(3, 2), real(3, 2), -2, True),
            sample(real(1, 2), real(1, 2), 0),
        ),
        when=lambda arguments, _: not arguments["adjoint"] and arguments["share"] == 1.0,
    ),
)

Both = Call[Recurrence]


def arriving(call: Both, c: Tensor, decay: Tensor, share: float = 1.0) -> Tensor:
    """Return all that arrives at each step, u_t = c_t + share decay_(t+1) u_(t+1)."""
    return linear_recurrence(decay, c, call["dim"], call["reverse"], True, share)


def before(call: Both) -> Tensor:
    """Return h_(t-1)."""
    return previous_states(call.out, call["dim"], call["reverse"])


def share_of(call: Both) -> float:
    """Return a factor's share: half if the decay is live, for then every state but zero is live."""
    return 0.5 if call.is_live("decay") else 1.0


def coefficients_of(call: Both, decay: Tensor | None, inflow: Tensor) -> Coefficients:
    """Return one coefficient per live operand."""
    both = {"decay": decay, "inflow": inflow}
    return tuple(both[o.name] for o in call.live)


def constant(call: Both, kept: Tensor) -> Mapping[str, Tensor]:
    """Return what an inflow that carries no relevance keeps."""
    return {} if call.is_live("inflow") else {"constant": sum_relevance(kept, call["inflow"])}


def uniform_absorbs(call: Both, c: Tensor, passed: Passed) -> Mapping[str, Tensor]:
    """Return what a constant inflow keeps; nothing else is absorbed."""
    return constant(call, arriving(call, c, call["decay"], share_of(call)))


@rule("uniform", family=Recurrence, cites="achtibat2024, prop. 3.3", absorbs=uniform_absorbs)
def uniform(call: Both, c: Tensor) -> Coefficients:
    """Split products in halves between decay and state; give every summand its share."""
    share = share_of(call)
    u = arriving(call, c, call["decay"], share)
    return coefficients_of(call, share * (u * before(call)) if call.is_live("decay") else None, u)


@rule("gradient", family=Recurrence, cites="simonyan2014", absorbs="gradient")
def gradient(call: Both, c: Tensor) -> Coefficients:
    """Return the plain gradient: decay and state both get all of their product."""
    u = arriving(call, c, call["decay"])
    return coefficients_of(call, u * before(call) if call.is_live("decay") else None, u)


def stabilised_flow(call: Both, c: Tensor, stabiliser: float) -> tuple[Tensor, Tensor]:
    """Return what arrives at each step, and what its stabilised sum keeps of it."""
    kept = call.out / stabilise(call.out, stabiliser)
    u = arriving(call, c, call["decay"] * kept, share_of(call))
    return u, u * kept


def norm_absorbs(call: Both, c: Tensor, passed: Passed, stabiliser: float) -> Mapping[str, Tensor]:
    """Return the stabiliser's share of each sum, and a constant inflow's."""
    u, kept = stabilised_flow(call, c, stabiliser)
    return {"stabiliser": sum_relevance(u - kept, call.out), **constant(call, kept)}


@rule("norm", family=Recurrence, cites="anders2021, rule Norm", absorbs=norm_absorbs)
def norm(call: Both, c: Tensor, stabiliser: NotNegative = 1e-6) -> Coefficients:
    """Apply the epsilon rule to sums, h / (h + epsilon sign h), and split products in halves."""
    _, kept = stabilised_flow(call, c, stabiliser)
    decay = share_of(call) * (kept * before(call)) if call.is_live("decay") else None
    return coefficients_of(call, decay, kept)


def rest(call: Both, c: Tensor, passed: Passed, stabiliser: float) -> Mapping[str, Tensor]:
    """Return what is not passed on: a constant inflow's shares, or the stabilisers' alone."""
    back = sum(sum_relevance(k, call.operand(o)) for k, o in zip(passed, call.live, strict=True))
    cause = "stabiliser" if call.is_live("inflow") else "constant"
    return {cause: sum_relevance(c, call.out) - back}


@rule("magnitude", family=Recurrence, cites="dynamiclrp2025, sec. 3", absorbs=rest)
def magnitude(call: Both, c: Tensor, stabiliser: NotNegative = 1e-9) -> Coefficients:
    """Split sums, and products of two live factors, by magnitude: |a| / (|a| + |b|)."""
    a, b, state = call["decay"], call["inflow"], before(call)
    carried = a * state
    kept = call.out / (carried.abs() + b.abs() + stabiliser)
    to_product, decay = kept * carried.sign(), None
    if call.is_live("decay"):
        to_product = to_product / (a.abs() + state.abs() + stabiliser)
        u = arriving(call, c, to_product * state.abs() * a)
        decay = u * to_product * a.abs() * state
    else:
        u = arriving(call, c, to_product * a)
    return coefficients_of(call, decay, u * kept * b.sign())
