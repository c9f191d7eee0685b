"""Normalisations: their scale is held constant (LN-rule), what is left is linear."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lrp_engine.call import Call
from lrp_engine.op import Coefficients, Homogeneous, Normalisation, Normaliser
from lrp_engine.rule import booked, rule
from lrp_engine.samples import positive, real, sample

aten = torch.ops.aten


def layer_norm_frozen(call: Call, c: Tensor) -> Tensor:
    """(x - mean) * rstd * weight + bias with rstd constant."""
    shape = call["normalized_shape"]
    call.primal, _, rstd = torch.native_layer_norm(
        call["input"], shape, call["weight"], call["bias"], call["eps"]
    )
    scaled = c if call["weight"] is None else c * call["weight"]
    centred = scaled - scaled.mean(tuple(range(-len(shape), 0)), keepdim=True)
    return (centred * rstd).to(c.dtype)


def rms_norm_frozen(call: Call, c: Tensor) -> Tensor:
    """x * rstd * weight with rstd = 1/sqrt(mean(x^2) + eps) constant."""
    x, axes = call["input"], tuple(range(-len(call["normalized_shape"]), 0))
    wide = torch.promote_types(x.dtype, torch.float32)
    eps = torch.finfo(x.dtype).eps if call["eps"] is None else call["eps"]
    rstd = torch.rsqrt(x.to(wide).square().mean(axes, keepdim=True) + eps)
    scaled = c if call["weight"] is None else c * call["weight"]
    return (scaled * rstd).to(c.dtype)


def group_norm_frozen(call: Call, c: Tensor) -> Tensor:
    """As layer norm, over the channels and positions of each group."""
    x, groups = call["input"], call["num_groups"]
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
    ),
    Normalisation(
        target=aten.rms_norm.default,
        operands=("input",),
        samples=(sample(real(2, 3, 4), [4], real(4), 1e-6), sample(real(2, 4), [4])),
        frozen=rms_norm_frozen,
    ),
    Normalisation(
        target=aten.group_norm.default,
        operands=("input",),
        samples=(sample(real(2, 4, 5), 2, real(4), real(4)),),
        frozen=group_norm_frozen,
        bias="bias",
    ),
)

NORMALISERS = (
    Normaliser(target=aten.rsqrt.default, operands=("self",), samples=(sample(positive(2, 3)),)),
    Normaliser(
        target=aten.reciprocal.default, operands=("self",), samples=(sample(positive(2, 3)),)
    ),
    Normaliser(
        target=aten.pow.Tensor_Scalar,
        operands=("self",),
        samples=(sample(positive(2, 3), -0.5),),
        when=lambda arguments, _: arguments["exponent"] < 0,
    ),
)

MOMENTS = tuple(
    Homogeneous(target=target, operands=("self",), samples=(call,), degree=degree)
    for target, call, degree in [
        (aten.var.correction, sample(real(2, 3), [1]), 2.0),
        (aten.var.dim, sample(real(2, 3), [1]), 2.0),
        (aten.std.correction, sample(real(2, 3), [1]), 1.0),
        (aten.std.dim, sample(real(2, 3), [1]), 1.0),
        (aten.linalg_vector_norm.default, sample(real(2, 3), 2, [1]), 1.0),
        (aten.norm.ScalarOpt_dim, sample(real(2, 3), 2, [1]), 1.0),
        (aten._pdist_forward.default, sample(real(4, 3), 2.0), 1.0),
    ]
)

# Each of n factors gets 1/n of what the product received.
PRODUCTS = (
    Homogeneous(
        target=aten.prod.default,
        operands=("self",),
        samples=(sample(real(2, 3)),),
        degree=lambda call: call["self"].numel(),
    ),
    Homogeneous(
        target=aten.prod.dim_int,
        operands=("self",),
        samples=(sample(real(2, 3), 1), sample(real(2, 3), 0, True)),
        degree=lambda call: call["self"].shape[call["dim"]],
    ),
)


def bias_share(call: Call, c: Tensor, passed: Coefficients) -> dict[str, Tensor]:
    """Sum of c * bias, the bias lying along the normalised axes or the channels."""
    bias = call[call.op.bias] if call.op.bias else None
    if bias is None:
        return {}
    if "num_groups" in call.arguments:
        bias = bias.view((1, -1) + (1,) * (c.dim() - 2))
    return {"bias": booked(c, bias.expand_as(c))}


@rule("scale_stopped", family=Normalisation, cites="achtibat2024, prop. 3.4", absorbs=bias_share)
def scale_stopped(call: Call, c: Tensor) -> Coefficients:
    """LN-rule: the scale is a constant, mean subtraction and weight are linear."""
    return call.only(call.op.frozen(call, c))


@rule("gradient", family=Normalisation, cites="simonyan2014", absorbs="gradient")
def gradient(call: Call, c: Tensor) -> Coefficients:
    """The plain gradient, through the scale as well."""
    return call.vjp(c)


@rule("stopped", family=Normaliser, cites="achtibat2024, prop. 3.4", stops=True)
def stopped(call: Call, c: Tensor) -> Coefficients:
    """A scale is a constant: no relevance enters it."""
    return tuple(None for _ in call.live)


@rule("gradient", family=Normaliser, cites="simonyan2014", absorbs="gradient")
def normaliser_gradient(call: Call, c: Tensor) -> Coefficients:
    """The plain gradient."""
    return call.vjp(c)


@rule("euler", family=Homogeneous, cites="euler, homogeneous functions")
def euler(call: Call, c: Any) -> Coefficients:
    """f(tx) = t^k f(x) gives x f'(x) = k f(x): c_in = f'(x)^T c / k conserves."""
    degree = call.op.degree
    k = degree(call) if callable(degree) else degree
    return tuple(g / k for g in call.vjp(c))


@rule("gradient", family=Homogeneous, cites="simonyan2014", absorbs="gradient")
def homogeneous_gradient(call: Call, c: Any) -> Coefficients:
    """The plain gradient."""
    return call.vjp(c)
