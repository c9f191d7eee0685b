"""Serve ops that pick entries or cut them off: the winner takes the relevance."""

from __future__ import annotations

import torch
from torch import Tensor
from torch._ops import OpOverload

from lrp_engine.graphs.aten import aten
from lrp_engine.graphs.schema import operands_of
from lrp_engine.method.call import Arriving, Call, Coefficients, Form, Passed
from lrp_engine.method.claims import Claim, always, as_are, never_zero
from lrp_engine.method.op import AtZero, Op, Selection
from lrp_engine.method.relevance import flow_sum
from lrp_engine.method.rule import rule
from lrp_engine.method.samples import positive, real, sample

RECTIFIERS = tuple(
    Selection(
        target=target,
        operands=("self",),
        samples=(call,),
        elementwise=True,
        at_zero=AtZero.ZERO,
        never_negative=sign,
    )
    for target, call, sign in [
        (aten.relu.default, sample(real(2, 3)), always),
        (aten.leaky_relu.default, sample(real(2, 3), 0.1), None),
        (aten.prelu.default, sample(real(2, 3), real(1)), None),
        (aten._prelu_kernel.default, sample(real(2, 3), real(1)), None),
        (aten.abs.default, sample(real(2, 3)), always),
        (aten.copysign.Tensor, sample(real(2, 3), real(2, 3)), None),
    ]
)

# What cuts off below: never negative if that limit is not.
LOWEST: dict[OpOverload, Claim] = {
    aten.clamp.default: as_are("min"),
    aten.clamp_min.default: as_are("min"),
    aten.hardtanh.default: as_are("min_val"),
    aten.relu6.default: always,
}

# Written out, because torch's derivative at a limit is 1 up to 2.13 and 0 or 1/2 in 2.15.
INCLUSIVE = {
    aten.clamp.default,
    aten.clamp_min.default,
    aten.clamp_max.default,
    aten.clamp.Tensor,
    aten.clamp_min.Tensor,
    aten.clamp_max.Tensor,
}

LIMITS = tuple(
    Selection(
        target=target,
        operands=("self",),
        samples=(call,),
        elementwise=True,
        exact=False,
        inclusive=target in INCLUSIVE,
        never_negative=LOWEST.get(target),
    )
    for target, call in [
        (aten.clamp.default, sample(real(2, 3), -0.5, 0.5)),
        (aten.clamp_min.default, sample(real(2, 3), 0.1)),
        (aten.clamp_max.default, sample(real(2, 3), 0.1)),
        (aten.hardtanh.default, sample(real(2, 3))),
        (aten.relu6.default, sample(real(2, 3))),
        (aten.threshold.default, sample(real(2, 3), 0.1, 0.0)),
        (aten.clamp.Tensor, sample(real(2, 3), real(3), None)),
        (aten.clamp_min.Tensor, sample(real(2, 3), real(2, 3))),
        (aten.clamp_max.Tensor, sample(real(2, 3), real(3))),
    ]
)

# x less a multiple of the divisor. The multiple is x rounded, and is booked so: it depends on x.
REMAINDERS = tuple(
    Selection(
        target=target,
        operands=operands,
        samples=(call,),
        elementwise=True,
        exact=False,
        remainder=True,
        regular=never_zero("other"),
    )
    for target, operands, call in [
        (aten.fmod.Scalar, ("self",), sample(real(2, 3), 0.7)),
        (aten.fmod.Tensor, ("self", "other"), sample(real(2, 3), positive(2, 3))),
        (aten.remainder.Scalar, ("self",), sample(real(2, 3), 0.7)),
        (aten.remainder.Tensor, ("self", "other"), sample(real(2, 3), positive(2, 3))),
    ]
)

POOLS = tuple(
    Selection(target=target, operands=("self",), samples=(call,), never_negative=as_are("self"))
    for target, call in [
        (aten.max_pool1d.default, sample(real(1, 2, 6), [2])),
        (aten.max_pool2d.default, sample(real(1, 2, 6, 6), [3, 3], [2, 2], [1, 1])),
        (aten.max_pool3d.default, sample(real(1, 2, 4, 4, 4), [2, 2, 2])),
        (aten.max_pool2d_with_indices.default, sample(real(1, 2, 6, 6), [2, 2])),
        (aten.max_pool3d_with_indices.default, sample(real(1, 2, 4, 4, 4), [2, 2, 2])),
        (aten.adaptive_max_pool1d.default, sample(real(1, 2, 6), [2])),
        (aten.adaptive_max_pool2d.default, sample(real(1, 2, 6, 6), [2, 2])),
        (aten.adaptive_max_pool3d.default, sample(real(1, 1, 4, 4, 4), [2, 2, 1])),
    ]
)

ORDER = tuple(
    Selection(target=target, operands=operands, samples=(call,))
    for target, operands, call in [
        (aten.amax.default, ("self",), sample(real(2, 3), [1])),
        (aten.amin.default, ("self",), sample(real(2, 3), [1])),
        (aten.max.default, ("self",), sample(real(2, 3))),
        (aten.min.default, ("self",), sample(real(2, 3))),
        (aten.max.dim, ("self",), sample(real(2, 3), 1)),
        (aten.min.dim, ("self",), sample(real(2, 3), 1)),
        (aten.topk.default, ("self",), sample(real(2, 5), 2)),
        (aten.sort.default, ("self",), sample(real(2, 5))),
        (aten.sort.stable, ("self",), sample(real(2, 5), stable=True, dim=1)),
        (aten.kthvalue.default, ("self",), sample(real(2, 5), 2)),
        (aten.median.default, ("self",), sample(real(5))),
        (aten.median.dim, ("self",), sample(real(2, 5), 1)),
        (aten.cummax.default, ("self",), sample(real(2, 5), 1)),
        (aten.cummin.default, ("self",), sample(real(2, 5), 1)),
        (aten.maximum.default, ("self", "other"), sample(real(2, 3), real(2, 3))),
        (aten.minimum.default, ("self", "other"), sample(real(2, 3), real(2, 3))),
        (aten.fmax.default, ("self", "other"), sample(real(2, 3), real(2, 3))),
        (aten.fmin.default, ("self", "other"), sample(real(2, 3), real(3))),
    ]
)


def entrywise(op: Op) -> bool:
    """Return whether an op is a rectifier or limit: one operand, entry by entry."""
    return op.elementwise and len(op.operands) == 1


def cut_off(call: Call[Selection], c: Arriving, passed: Passed) -> dict[str, Tensor]:
    """Return the share that stays where a limit or a constant won."""
    all_live = len(operands_of(call.op.operands, call.arguments)) == len(call.live)
    if call.op.exact and all_live and call.form is Form.COEFFICIENT:
        return {}
    arrived = sum(
        flow_sum(call, k, call.operand(o)) for k, o in zip(passed, call.live, strict=True)
    )
    cause = "rounding" if call.op.remainder else "constant"
    return {cause: all_amounts(call, c) - arrived}


def all_amounts(call: Call[Selection], c: Arriving) -> Tensor:
    """Return the sum of R over all results."""
    pairs = [(c, call.out)] if isinstance(c, Tensor) else zip(c, call.out, strict=True)
    return torch.stack([flow_sum(call, k, out) for k, out in pairs if k is not None]).sum()


def pass_to_picked(call: Call[Selection], c: Arriving) -> Coefficients:
    """Return what arrives, at the entries that were picked."""
    if call.op.inclusive:
        assert isinstance(c, Tensor)
        x = call.operand(call.live[0])  # a limit of more axes repeats it
        cut = call.out != x if call.op.slack == 0 else (call.out - x).abs() > call.op.slack
        return call.only(c.masked_fill(cut, 0.0).sum_to_size(x.shape))
    if call.form is Form.COEFFICIENT or not call.op.elementwise:
        return call.vjp(c)
    assert isinstance(c, Tensor)
    if call.op.exact:
        # A slope (leaky_relu's, abs's) is part of the coefficient, not of the relevance.
        return call.only(c.masked_fill(call.vjp(torch.ones_like(c))[0] == 0, 0.0))
    shares = call.vjp(divide_or_zero(c, call.out))
    return tuple(k * call.operand(o) for o, k in zip(call.live, shares, strict=True))


def divide_or_zero(a: Tensor, b: Tensor) -> Tensor:
    """Return a / b, and 0 where b is 0."""
    return (a / b.masked_fill(b == 0, 1.0)).masked_fill(b == 0, 0.0)


@rule(
    "winner",
    family=Selection,
    cites="bach2015, sec. 2.2",
    absorbs=cut_off,
    takes=Form.EITHER,
    gives=Form.EITHER,
)
def winner(call: Call[Selection], c: Arriving) -> Coefficients:
    """Give all to the entry that was picked: c_in = c there, 0 elsewhere."""
    return pass_to_picked(call, c)


@rule(
    "pass",
    family=Selection,
    cites="anders2021, rule Pass",
    absorbs=cut_off,
    takes=Form.EITHER,
    gives=Form.EITHER,
    serves=entrywise,
)
def pass_on(call: Call[Selection], c: Tensor) -> Coefficients:
    """Pass on R_in = R_out, where a limit cut something off as well: c_in = c out / x."""
    if call.form is Form.RELEVANCE:
        return call.only(c)
    (operand,) = call.live
    return (
        pass_to_picked(call, c)
        if call.op.exact
        else call.only(divide_or_zero(c * call.out, call.operand(operand)))
    )


@rule("gradient", family=Selection, cites="simonyan2014", absorbs=cut_off)
def gradient(call: Call[Selection], c: Arriving) -> Coefficients:
    """Return the plain gradient, which is also the winner's."""
    return call.vjp(c)
