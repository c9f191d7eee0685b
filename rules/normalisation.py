"""Serve normalisations: with the scale held constant (LN-rule) they are linear."""

from __future__ import annotations

import torch
from torch import Tensor

from lrp_engine.graphs.aten import aten
from lrp_engine.method.call import Arriving, Call, Coefficients, Form, Passed, at_result
from lrp_engine.method.claims import as_are, never_zero, normalises_last
from lrp_engine.method.op import Normalisation, Normaliser
from lrp_engine.method.relevance import sum_relevance
from lrp_engine.method.rule import rule
from lrp_engine.method.samples import positive, real, sample


def native_layer_norm_frozen(call: Call[Normalisation], c: Tensor) -> Tensor:
    """Return the adjoint with the scale held constant, where the op returns that scale."""
    scaled = c if call["weight"] is None else c * call["weight"]
    axes = tuple(range(-len(call["normalized_shape"]), 0))
    rstd: Tensor = call.out[2]
    return ((scaled - scaled.mean(axes, keepdim=True)) * rstd).to(c.dtype)


def held_scale(c: Tensor, rstd: Tensor, shape: list[int], weight: Tensor | None) -> Tensor:
    """Return (w c - mean(w c)) * rstd in one pass.

    This is torch's own derivative of a layer norm, told that every normalised entry is 0: those
    multiply the part that comes from the scale.
    """
    dtype = c.dtype
    if weight is not None and weight.dtype != dtype:  # autocast: the kernel takes no mixture
        c, weight = c * weight, None
        rstd = rstd.to(c.dtype)
    nothing, mean = torch.zeros_like(c), c.new_zeros(rstd.shape, dtype=rstd.dtype)
    back: Tensor = aten.native_layer_norm_backward(
        c, nothing, shape, mean, rstd, weight, None, [True, False, False]
    )[0]
    return back.to(dtype)


def layer_norm_frozen(call: Call[Normalisation], c: Tensor) -> Tensor:
    """Return the adjoint of (x - mean) * rstd * weight + bias with rstd constant."""
    shape, weight = call["normalized_shape"], call["weight"]
    call.primal, _, rstd = torch.native_layer_norm(
        call["input"], shape, weight, call["bias"], call["eps"]
    )
    return held_scale(c, rstd, shape, weight)


def rms_norm_frozen(call: Call[Normalisation], c: Tensor) -> Tensor:
    """Return the adjoint of x * rstd * weight with rstd = 1/sqrt(mean(x^2) + eps) constant."""
    x, axes = call["input"], tuple(range(-len(call["normalized_shape"]), 0))
    wide = torch.promote_types(x.dtype, torch.float32)
    eps = torch.finfo(wide).eps if call["eps"] is None else call["eps"]
    rstd = torch.rsqrt(x.to(wide).square().mean(axes, keepdim=True) + eps)
    scaled = c if call["weight"] is None else c * call["weight"]
    return (scaled * rstd).to(c.dtype)


def batch_statistics_frozen(call: Call[Normalisation], c: Tensor) -> Tensor:
    """Return the adjoint of batch or instance norm by the input's own statistics, rstd constant."""
    x = call["input"]
    axes = (0, *range(2, x.dim()))
    centred = x - x.mean(axes, keepdim=True)
    rstd = torch.rsqrt(centred.square().mean(axes, keepdim=True) + call["eps"])
    if call["weight"] is not None:
        c = c * call["weight"].view((1, -1) + (1,) * (c.dim() - 2))
    return (c - c.mean(axes, keepdim=True)) * rstd


def group_norm_frozen(call: Call[Normalisation], c: Tensor) -> Tensor:
    """Return the adjoint as for layer norm, over the channels and positions of each group."""
    x = call["input"]
    groups = call["num_groups"] if "num_groups" in call.arguments else call["group"]
    grouped = x.reshape(x.shape[0], groups, -1)
    centred = grouped - grouped.mean(-1, keepdim=True)
    rstd = torch.rsqrt(centred.square().mean(-1, keepdim=True) + call["eps"])
    if call["weight"] is not None:
        c = c * call["weight"].view((1, -1) + (1,) * (c.dim() - 2))
    back = c.reshape(grouped.shape)
    return ((back - back.mean(-1, keepdim=True)) * rstd).reshape(x.shape)


NORMS = (
    Normalisation(
        target=aten.layer_norm.default,
        operands=("input",),
        samples=(sample(real(2, 3, 4), [4], real(4), real(4)), sample(real(2, 3, 4), [3, 4])),
        frozen=layer_norm_frozen,
        bias="bias",
        rowwise=normalises_last,
    ),
    Normalisation(
        target=aten.rms_norm.default,
        operands=("input",),
        samples=(sample(real(2, 3, 4), [4], real(4), 1e-6), sample(real(2, 4), [4])),
        frozen=rms_norm_frozen,
        rowwise=normalises_last,
    ),
    Normalisation(
        target=aten.group_norm.default,
        operands=("input",),
        samples=(sample(real(2, 4, 5), 2, real(4), real(4)),),
        frozen=group_norm_frozen,
        bias="bias",
    ),
)

NATIVE_NORMS = (
    Normalisation(
        target=aten.native_layer_norm.default,
        operands=("input",),
        samples=(sample(real(2, 3, 4), [3, 4], real(3, 4), real(3, 4), 1e-5),),
        frozen=native_layer_norm_frozen,
        bias="bias",
    ),
    Normalisation(
        target=aten.native_group_norm.default,
        operands=("input",),
        samples=(sample(real(2, 4, 5), real(4), real(4), 2, 4, 5, 2, 1e-5),),
        frozen=group_norm_frozen,
        bias="bias",
    ),
    Normalisation(
        target=aten._native_batch_norm_legit.no_stats,
        operands=("input",),
        samples=(sample(real(2, 3, 4), real(3), real(3), True, 0.1, 1e-5),),
        frozen=batch_statistics_frozen,
        bias="bias",
    ),
)

NORMALISERS = tuple(
    Normaliser(
        target=target,
        operands=("self",),
        samples=(call,),
        never_negative=as_are("self"),
        regular=never_zero("self"),
    )
    for target, call in [
        (aten.rsqrt.default, sample(positive(2, 3))),
        (aten.reciprocal.default, sample(positive(2, 3))),
    ]
)

NEGATIVE_POWERS = (
    Normaliser(
        target=aten.pow.Tensor_Scalar,
        operands=("self",),
        samples=(sample(positive(2, 3), -0.5),),
        when=lambda arguments, _: arguments["exponent"] <= 0,  # x^0 is the constant 1
        regular=never_zero("self"),
    ),
)


def bias_share(call: Call[Normalisation], c: Arriving, passed: Passed) -> dict[str, Tensor]:
    """Return the sum of c * bias, the bias lying along the normalised axes or the channels."""
    bias, c = call[call.op.bias] if call.op.bias else None, at_result(c)
    if bias is None:
        return {}
    if "normalized_shape" not in call.arguments:
        bias = bias.view((1, -1) + (1,) * (c.dim() - 2))
    return {"bias": sum_relevance(c, bias.expand_as(c))}


@rule("scale_stopped", family=Normalisation, cites="achtibat2024, prop. 3.4", absorbs=bias_share)
def scale_stopped(call: Call[Normalisation], c: Arriving) -> Coefficients:
    """Take the scale for a constant (LN-rule): mean subtraction and weight are linear."""
    return call.only(call.op.frozen(call, at_result(c)))


@rule(
    "pass",
    family=Normalisation,
    cites="anders2021, rule Pass",
    takes=Form.RELEVANCE,
    gives=Form.RELEVANCE,
)
def pass_on(call: Call[Normalisation], c: Arriving) -> Coefficients:
    """Take the norm for the identity: R_in = R_out, entry by entry."""
    return call.only(at_result(c))


@rule("gradient", family=Normalisation, cites="simonyan2014", absorbs="gradient")
def gradient(call: Call[Normalisation], c: Tensor) -> Coefficients:
    """Return the plain gradient, through the scale as well."""
    return call.vjp(c)


@rule("stopped", family=Normaliser, cites="achtibat2024, prop. 3.4", stops=True)
def stopped(call: Call[Normalisation], c: Tensor) -> Coefficients:
    """Take a scale for a constant: no relevance enters it."""
    return tuple(None for _ in call.live)


@rule("gradient", family=Normaliser, cites="simonyan2014", absorbs="gradient")
def normaliser_gradient(call: Call[Normalisation], c: Tensor) -> Coefficients:
    """Return the plain gradient."""
    return call.vjp(c)
