"""Serve ops that are linear in their live operands: c_in = A^T c for out = A in + const."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.fx.node import Target

from lrp_engine.graphs.aten import aten
from lrp_engine.graphs.schema import invoke, operands_of, substitute
from lrp_engine.method.call import Arriving, Call, Coefficients, Form, Passed, at_result
from lrp_engine.method.claims import any_of, as_are, reduces_last
from lrp_engine.method.op import AtZero, Linear, Op
from lrp_engine.method.parameters import NotNegative
from lrp_engine.method.relevance import flow_sum, stabilise, sum_relevance, to_operand
from lrp_engine.method.rule import rule
from lrp_engine.method.samples import (
    Sample,
    integers,
    mask,
    odd_eighths,
    positive,
    real,
    sample,
)


def linear(target: Target, *operands: str, samples: tuple[Sample, ...], **facts: Any) -> Linear:
    """Return one table row: the op, the arguments it is linear in, sample calls, further facts."""
    return Linear(target=target, operands=operands, samples=samples, **facts)


def entrywise(target: Target, *operands: str, **facts: Any) -> Linear:
    """Return the row of a linear op that acts entry by entry."""
    return linear(target, *operands, elementwise=True, **facts)


ADDED = as_are("self", "other", "alpha")

SUMS = tuple(
    entrywise(
        target,
        *operands,
        samples=(call,),
        at_zero=AtZero.SUM,
        never_negative=ADDED if target in (aten.add.Tensor, aten.add.Scalar) else None,
        positive=any_of("self", "other"),
    )
    for target, operands, call in [
        (aten.add.Tensor, ("self", "other"), sample(real(2, 3), real(3), alpha=2)),
        (aten.add.Scalar, ("self",), sample(real(2, 3), 1.5)),
        (aten.sub.Tensor, ("self", "other"), sample(real(2, 3), real(2, 1))),
        (aten.sub.Scalar, ("self",), sample(real(2, 3), 1.5)),
        (aten.rsub.Scalar, ("self",), sample(real(2, 3), 1.5)),
        (aten.rsub.Tensor, ("self", "other"), sample(real(2, 3), real(2, 3))),
    ]
)

SCALES = tuple(
    entrywise(target, "self", samples=(call,), at_zero=AtZero.ZERO)
    for target, call in [
        (aten.neg.default, sample(real(2, 3))),
        (aten.mul.Scalar, sample(real(2, 3), 1.5)),
        (aten.div.Scalar, sample(real(2, 3), 1.5)),
    ]
)

CASTS = tuple(
    Linear(
        target=target,
        operands=("self",),
        samples=(call,),
        elementwise=True,
        at_zero=AtZero.ZERO,
        idle_if_same_layout=True,
        never_negative=as_are("self"),
        templates=("other",) if target is aten.type_as.default else (),
    )
    for target, call in [
        (aten._to_copy.default, sample(odd_eighths(2, 3), dtype=torch.float32)),
        (aten.to.dtype, sample(odd_eighths(2, 3), torch.float32)),
        (aten.to.dtype_layout, sample(odd_eighths(2, 3), dtype=torch.float32)),
        (aten.type_as.default, sample(real(2, 3), real(1))),
    ]
)


def copy_adjoint(call: Call[Linear], c: Arriving) -> Coefficients:
    """Sum c to the source's shape: torch has no derivative of the functional copy."""
    source = call["src"]
    return call.only(at_result(c).sum_to_size(source.shape).to(source.dtype))


CHOICES = (
    linear(aten.where.self, "self", "other", samples=(sample(mask(2, 3), real(2, 3), real(2, 3)),)),
    linear(aten.where.ScalarOther, "self", samples=(sample(mask(2, 3), real(2, 3), 0.5),)),
    linear(aten.where.ScalarSelf, "other", samples=(sample(mask(2, 3), 0.5, real(2, 3)),)),
    linear(aten.masked_fill.Scalar, "self", samples=(sample(real(2, 3), mask(2, 3), -1.0),)),
    linear(
        aten.masked_fill.Tensor, "self", "value", samples=(sample(real(2, 3), mask(2, 3), real()),)
    ),
    linear(aten.constant_pad_nd.default, "self", samples=(sample(real(2, 3), [1, 1], 0.5),)),
    linear(aten.pad.default, "self", samples=(sample(real(2, 3), [1, 1]),)),
    linear(
        aten.copy.default,
        "src",
        samples=(sample(real(2, 3), real(2, 3)), sample(real(2, 3), real(3))),
        templates=("self",),
        adjoint=copy_adjoint,
    ),
    linear(
        aten.slice_scatter.default,
        "self",
        "src",
        samples=(sample(real(4, 3), real(2, 3), 0, 1, 3),),
    ),
    linear(
        aten.select_scatter.default, "self", "src", samples=(sample(real(4, 3), real(3), 0, 1),)
    ),
    linear(
        aten.scatter_add.default,
        "self",
        "src",
        selectors=("index",),
        samples=(sample(real(4, 3), 0, integers(4, 2, 3), real(2, 3)),),
    ),
    linear(
        aten.index_add.default,
        "self",
        "source",
        selectors=("index",),
        samples=(sample(real(4, 3), 0, integers(4, 2), real(2, 3)),),
    ),
)


def average_of(target: Target, operand: str, call: Sample, **facts: Any) -> Linear:
    """Return the row of a sum or average of one operand's entries, with weights >= 0."""
    return linear(target, operand, samples=(call,), never_negative=as_are(operand), **facts)


REDUCTIONS = (
    average_of(aten.sum.default, "self", sample(real(2, 3))),
    average_of(aten.sum.dim_IntList, "self", sample(real(2, 3), [1]), rowwise=reduces_last),
    average_of(aten.mean.default, "self", sample(real(2, 3))),
    average_of(aten.mean.dim, "self", sample(real(2, 3), [1], True), rowwise=reduces_last),
    linear(aten.cumsum.default, "self", samples=(sample(real(2, 3), 1),)),
    linear(
        aten.diff.default,
        "self",
        "prepend",
        "append",
        samples=(
            sample(real(2, 5)),
            sample(real(2, 3), prepend=real(2, 1), append=real(2, 2)),
        ),
    ),
)

POOLING = (
    average_of(aten.avg_pool1d.default, "self", sample(real(1, 2, 6), [2], [2])),
    average_of(aten.avg_pool2d.default, "self", sample(real(1, 2, 6, 6), [3, 3], [2, 2], [1, 1])),
    average_of(aten.avg_pool3d.default, "self", sample(real(1, 2, 4, 4, 4), [2, 2, 2])),
    average_of(aten.adaptive_avg_pool1d.default, "self", sample(real(1, 2, 6), [2])),
    average_of(aten.adaptive_avg_pool2d.default, "self", sample(real(1, 2, 6, 6), [1, 1])),
    average_of(aten._adaptive_avg_pool2d.default, "self", sample(real(1, 2, 6, 6), [2, 3])),
    average_of(aten.upsample_nearest2d.vec, "input", sample(real(1, 2, 3, 3), None, [2.0, 2.0])),
    average_of(
        aten.upsample_bilinear2d.vec, "input", sample(real(1, 2, 3, 3), None, False, [2.0, 2.0])
    ),
    linear(
        aten.upsample_bicubic2d.vec,
        "input",
        samples=(sample(real(1, 2, 3, 3), None, False, [2.0, 2.0]),),
    ),
)


def batch_norm_adjoint(call: Call[Linear], c: Arriving) -> Coefficients:
    """Scale c by weight / sqrt(var + eps), channel by channel: batch norm in eval mode."""
    out = at_result(c)
    scale = torch.rsqrt(call["running_var"] + call["eps"])
    if call["weight"] is not None:
        scale = scale * call["weight"]
    channels = (1, -1) + (1,) * (out.dim() - 2)
    return call.only(out * scale.view(channels).to(out.dtype))


_NORM = (real(2, 3, 4), positive(3), real(3), real(3), positive(3))

BATCH_NORM = (
    linear(
        aten._native_batch_norm_legit_no_training.default,
        "input",
        samples=(sample(*_NORM, 0.1, 1e-5),),
        adjoint=batch_norm_adjoint,
    ),
    linear(
        aten.batch_norm.default,
        "input",
        samples=(sample(*_NORM, False, 0.1, 1e-5, False),),
        adjoint=batch_norm_adjoint,
        when=lambda arguments, _: not arguments["training"],
    ),
)


def result_of(call: Call[Linear]) -> Tensor:
    """Return the result itself, of an op that returns statistics as well."""
    out: Tensor = call.out if isinstance(call.out, Tensor) else call.out[0]
    return out


def constants(call: Call[Linear], c: Arriving, passed: Passed) -> dict[str, Tensor]:
    """Return the constant part of an affine op: sum of c * op(0)."""
    rest = call.at_zero()
    return {"constant": sum_relevance(at_result(c), rest if isinstance(rest, Tensor) else rest[0])}


@rule(
    "adjoint",
    family=Linear,
    cites="bach2015, eq. 58",
    absorbs=constants,
    takes=Form.PROPORTIONAL,
    gives=Form.EITHER,
)
def adjoint(call: Call[Linear], c: Arriving) -> Coefficients:
    """Give every summand its share of the sum (LRP-0): c_in = A^T c; of one summand, R_in = R."""
    if call.form is Form.RELEVANCE:
        return call.only(to_operand(call, at_result(c)))
    own = call.op.adjoint
    return call.vjp(c) if own is None else own(call, c)


@rule("gradient", family=Linear, cites="simonyan2014", absorbs=constants)
def gradient(call: Call[Linear], c: Arriving) -> Coefficients:
    """Return the plain gradient, the same as the adjoint."""
    own = call.op.adjoint
    return call.vjp(c) if own is None else own(call, c)


def norm_absorbs(
    call: Call[Linear], c: Arriving, passed: Passed, stabiliser: float
) -> dict[str, Tensor]:
    """Return the stabiliser's (c - c') z, and the constants' share of what is left."""
    kept, out = stabilised_quotient(call, c, stabiliser), result_of(call)
    lost = flow_sum(call, at_result(c), out) - sum_relevance(kept, out)
    return {"stabiliser": lost} | constants(call, kept, passed)


def adds(op: Op) -> bool:
    """Return whether an op adds entries up: sums of two, reductions, average pooling."""
    return op not in BATCH_NORM and (not op.elementwise or len(op.operands) > 1)


def stabilised_quotient(call: Call[Linear], c: Arriving, stabiliser: float) -> Tensor:
    """Return R / (z + stabiliser sign z)."""
    flow, z = at_result(c), result_of(call)
    numerator = 1.0 if call.form is Form.RELEVANCE else z
    return flow * (numerator / stabilise(z, stabiliser))


@rule(
    "norm",
    family=Linear,
    cites="anders2021, rule Norm",
    takes=Form.EITHER,
    absorbs=norm_absorbs,
    serves=adds,
)
def norm(call: Call[Linear], c: Arriving, stabiliser: NotNegative = 1e-6) -> Coefficients:
    """Apply the epsilon rule to sums and means: R_i = x_i a_i R / (z + epsilon sign z)."""
    kept = stabilised_quotient(call, c, stabiliser)
    own = call.op.adjoint
    return call.vjp(kept) if own is None else own(call, kept)


def one_to_one(op: Op) -> bool:
    """Return whether an op has one operand and acts entry by entry, or is a batch norm."""
    return op in BATCH_NORM or (op.elementwise and len(op.operands) == 1)


@rule(
    "pass",
    family=Linear,
    cites="anders2021, rule Pass",
    takes=Form.RELEVANCE,
    gives=Form.RELEVANCE,
    serves=one_to_one,
)
def pass_on(call: Call[Linear], c: Arriving) -> Coefficients:
    """Take the op, a batch norm for instance, for the identity: R_in = R_out."""
    return call.only(at_result(c))


def adds_entrywise(op: Op) -> bool:
    """Return whether an op adds entry by entry: sums and differences."""
    return op.elementwise and op.at_zero is AtZero.SUM


@rule(
    "flat",
    family=Linear,
    cites="lapuschkin2019",
    takes=Form.RELEVANCE,
    gives=Form.RELEVANCE,
    serves=adds_entrywise,
)
def flat(call: Call[Linear], c: Arriving) -> Coefficients:
    """Share evenly among the n live summands, whatever they are: R_i = R / n."""
    share = at_result(c) / len(call.live)
    return tuple(share.sum_to_size(call.operand(o).shape) for o in call.live)


def terms(call: Call[Linear]) -> list[Tensor]:
    """Return what each tensor operand by itself contributes to an elementwise sum."""
    names = operands_of(call.op.operands, call.arguments)
    zeros = {o: torch.zeros_like(call.operand(o)) for o in names}
    return [
        invoke(call.op.target, substitute(call.arguments, zeros | {o: call.operand(o)}))
        for o in names
    ]


def constants_by_magnitude(
    call: Call[Linear], c: Arriving, passed: Passed, stabiliser: float
) -> dict[str, Tensor]:
    """Return what operands without relevance keep of a sum that is split by magnitude."""
    arrived = flow_sum(call, at_result(c), result_of(call))
    handed = sum(sum_relevance(k, call.operand(o)) for k, o in zip(passed, call.live, strict=True))
    return {"constant": arrived - handed}


@rule("magnitude", family=Linear, cites="dynamiclrp2025, sec. 3", absorbs=constants_by_magnitude)
def magnitude(call: Call[Linear], c: Arriving, stabiliser: NotNegative = 1e-9) -> Coefficients:
    """Share elementwise sums by magnitude, R_a = |a| / (|a| + |b|) R; use the adjoint elsewhere.

    Unlike the adjoint it stays bounded where a and b nearly cancel.
    """
    names = operands_of(call.op.operands, call.arguments)
    if not call.op.elementwise or len(names) < 2:
        return adjoint.propagate(call, c)
    parts = dict(zip(names, terms(call), strict=True))
    total = torch.stack([part.abs() for part in parts.values()]).sum(0)
    q = c * (call.out / (total + stabiliser))
    return tuple(call.vjp(q * parts[o].sign())[i] for i, o in enumerate(call.live))
