"""Activations. out = f(x) keeps its relevance: c_in = c f(x)/x, with f(x)/x in closed form."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lrp_engine.call import Call
from lrp_engine.op import AtZero, Coefficients, Pointwise
from lrp_engine.rule import booked, rule
from lrp_engine.samples import Sample, positive, real, sample

aten = torch.ops.aten


def activation(target: Any, *samples: Sample) -> Callable[[Callable[..., Tensor]], Pointwise]:
    """Declares f with f(0) = 0 by its quotient: the decorated function computes f(x)/x."""

    def declared(ratio: Callable[..., Tensor]) -> Pointwise:
        return Pointwise(
            target=target, operands=("self",), samples=samples, at_zero=AtZero.ZERO, ratio=ratio
        )

    return declared


def curve(target: Any, *samples: Sample, at_zero: AtZero = AtZero.OTHER) -> Pointwise:
    """Declares f without a closed quotient."""
    return Pointwise(target=target, operands=("self",), samples=samples, at_zero=at_zero)


@activation(aten.gelu.default, sample(real(2, 3)), sample(real(2, 3), approximate="tanh"))
def gelu(x: Tensor, approximate: str = "none") -> Tensor:
    """gelu(x)/x = Phi(x), or its tanh approximation."""
    if approximate == "none":
        return 0.5 * torch.erf(x * math.sqrt(0.5)) + 0.5
    return 0.5 * torch.tanh(x * (0.035677408136300125 * x * x + math.sqrt(2 / math.pi))) + 0.5


@activation(aten.silu.default, sample(real(2, 3)))
def silu(x: Tensor) -> Tensor:
    """silu(x)/x = sigmoid(x)."""
    return torch.sigmoid(x)


@activation(aten.tanh.default, sample(real(2, 3)))
def tanh(x: Tensor) -> Tensor:
    """tanh(x)/x, 1 at 0."""
    return (torch.tanh(x) / x).masked_fill(x == 0, 1.0)


@activation(aten.hardswish.default, sample(real(2, 3)))
def hardswish(x: Tensor) -> Tensor:
    """hardswish(x)/x = clamp(x + 3, 0, 6)/6."""
    return torch.clamp(x + 3, 0, 6) / 6


@activation(aten.mish.default, sample(real(2, 3)))
def mish(x: Tensor) -> Tensor:
    """mish(x)/x = tanh(softplus(x))."""
    return torch.tanh(torch.nn.functional.softplus(x))


@activation(aten.pow.Tensor_Scalar, sample(real(2, 3), 3), sample(positive(2, 3), 0.5))
def power(x: Tensor, exponent: float) -> Tensor:
    """x^n / x = x^(n-1); below n = 1 the quotient has no limit at 0 and 0 is taken."""
    if exponent < 1:
        return (x ** (exponent - 1)).masked_fill(x == 0, 0.0)
    return x ** (exponent - 1)


@activation(aten.square.default, sample(real(2, 3)))
def square(x: Tensor) -> Tensor:
    """x^2 / x = x."""
    return x


@activation(aten.sqrt.default, sample(positive(2, 3)))
def sqrt(x: Tensor) -> Tensor:
    """sqrt(x)/x = 1/sqrt(x); 0 is taken at 0, where there is no limit."""
    return torch.rsqrt(x).masked_fill(x == 0, 0.0)


ZERO_AT_ZERO = tuple(
    curve(target, sample(real(2, 3)), at_zero=AtZero.ZERO)
    for target in (
        aten.erf.default,
        aten.sin.default,
        aten.tan.default,
        aten.atan.default,
        aten.asinh.default,
        aten.sinh.default,
        aten.expm1.default,
        aten.elu.default,
        aten.selu.default,
        aten.celu.default,
        aten.softshrink.default,
        aten.hardshrink.default,
    )
) + (curve(aten.log1p.default, sample(positive(2, 3)), at_zero=AtZero.ZERO),)

OTHER_AT_ZERO = tuple(
    curve(target, sample(positive(2, 3)))
    for target in (
        aten.sigmoid.default,
        aten.hardsigmoid.default,
        aten.softplus.default,
        aten.log_sigmoid.default,
        aten.exp.default,
        aten.exp2.default,
        aten.log.default,
        aten.log2.default,
        aten.log10.default,
        aten.cos.default,
        aten.cosh.default,
    )
)


def remainder(call: Call, c: Tensor, passed: Coefficients) -> dict[str, Tensor]:
    """Zero-preserving functions keep all; of the others the first Taylor term travels."""
    if call.op.at_zero is AtZero.ZERO:
        return {}
    (back,), (operand,) = passed, call.live
    return {"taylor": booked(c, call.out) - booked(back, call.operand(operand))}


@rule("identity", family=Pointwise, cites="achtibat2024, sec. 3.2", absorbs=remainder)
def identity(call: Call, c: Tensor) -> Coefficients:
    """R_in = R_out: c_in = c f(x)/x, at x = 0 the limit c f'(0); if f(0) != 0, c f'(x)."""
    x = call["self"]
    if call.op.ratio is not None:
        return call.only(c * quotient(call, x))
    if call.op.at_zero is not AtZero.ZERO:
        return call.vjp(c)
    (slope,) = call.vjp(c)
    return call.only(torch.where(x == 0, slope, c * (call.out / x)))


def quotient(call: Call, x: Tensor) -> Tensor:
    """f(x)/x by the op's closed form, in float32 at least."""
    extra = {k: v for k, v in call.arguments.items() if k != "self"}
    wide = torch.promote_types(x.dtype, torch.float32)
    return call.op.ratio(x.to(wide), **extra).to(x.dtype)


@rule("taylor", family=Pointwise, cites="montavon2017, eq. 5", absorbs="taylor")
def taylor(call: Call, c: Tensor) -> Coefficients:
    """The first Taylor term at x: c_in = c f'(x)."""
    return call.vjp(c)


@rule("gradient", family=Pointwise, cites="simonyan2014", absorbs="gradient")
def gradient(call: Call, c: Tensor) -> Coefficients:
    """The plain gradient."""
    return call.vjp(c)
