"""Serve activations out = f(x): c_in = c f(x)/x keeps relevance, with f(x)/x in closed form."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.fx.node import Target

from lrp_engine.graphs.aten import aten
from lrp_engine.graphs.schema import Arguments
from lrp_engine.method.call import Call, Coefficients, Form, Passed
from lrp_engine.method.claims import Known, always, as_are, never_zero
from lrp_engine.method.op import AtZero, Op, Pointwise
from lrp_engine.method.relevance import flow_sum, to_operand
from lrp_engine.method.rule import rule
from lrp_engine.method.samples import (
    Sample,
    between,
    positive,
    real,
    sample,
)
from lrp_engine.method.zeros import repeat_operands

T = TypeVar("T")


def activation(
    target: Target, *samples: Sample, **facts: Any
) -> Callable[[Callable[..., Tensor]], Pointwise]:
    """Declare f with f(0) = 0 by its quotient: the decorated function computes f(x)/x."""

    def declared(ratio: Callable[..., Tensor]) -> Pointwise:
        return Pointwise(
            target=target,
            operands=("self",),
            samples=samples,
            at_zero=AtZero.ZERO,
            ratio=ratio,
            **facts,
        )

    return declared


def curve(target: Target, *samples: Sample, **facts: Any) -> Pointwise:
    """Declare f without a closed quotient."""
    return Pointwise(target=target, operands=("self",), samples=samples, **facts)


def at(*points: float) -> Callable[[Tensor], Tensor]:
    """Return a function that tells where x is one of these points."""
    return lambda x: torch.stack([x == point for point in points]).any(0)


def wide(x: Tensor) -> Tensor:
    """Return x in at least float32, for closed forms of several steps."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def gelu(c: Tensor, x: Tensor, approximate: str = "none") -> Tensor:
    """Return c Phi(x) for GELU, with Phi(x) = erfc(-x/sqrt 2)/2 or its tanh approximation.

    The latter is (1 + tanh u)/2 = sigmoid(2u). Neither cancels where Phi is small, and the half is
    free beside the tensor.
    """
    x = wide(x)
    if approximate == "none":
        twice: Tensor = torch.special.erfc(x * -math.sqrt(0.5))
        return 0.5 * (c * twice.to(c.dtype))
    return c * torch.sigmoid(x * (0.07135481627260025 * x * x + math.sqrt(8 / math.pi))).to(c.dtype)


GELU = Pointwise(
    target=aten.gelu.default,
    operands=("self",),
    samples=(sample(real(2, 3)), sample(real(2, 3), approximate="tanh")),
    at_zero=AtZero.ZERO,
    passes=gelu,
    regular=always,
)


@activation(aten.silu.default, sample(real(2, 3)), regular=always)
def silu(x: Tensor) -> Tensor:
    """Return f(x)/x = sigmoid(x)."""
    return torch.sigmoid(x)


@activation(aten.tanh.default, sample(real(2, 3)), regular=always, bounded=True)
def tanh(x: Tensor) -> Tensor:
    """Return f(x)/x, 1 at 0."""
    return (torch.tanh(wide(x)) / wide(x)).masked_fill(x == 0, 1.0).to(x.dtype)


@activation(aten.special_i1.default, sample(real(2, 3)))
def i1(x: Tensor) -> Tensor:
    """Return I1(x)/x, and its limit 1/2 at 0."""
    bessel: Tensor = torch.special.i1(wide(x))
    return (bessel / wide(x)).masked_fill(x == 0, 0.5).to(x.dtype)


@activation(aten.hardswish.default, sample(real(2, 3)), regular=always)
def hardswish(x: Tensor) -> Tensor:
    """Return f(x)/x = clamp(x + 3, 0, 6)/6."""
    return (torch.clamp(wide(x) + 3, 0, 6) / 6).to(x.dtype)


@activation(aten.mish.default, sample(real(2, 3)), regular=always)
def mish(x: Tensor) -> Tensor:
    """Return f(x)/x = tanh(softplus(x))."""
    return torch.tanh(torch.nn.functional.softplus(wide(x))).to(x.dtype)


def even(arguments: Arguments, known: Known) -> bool:
    """Return whether a power has no entry below zero: by its exponent, or by what it is of."""
    return bool(arguments["exponent"] % 2 == 0) or known(arguments["self"])


def at_least_linear(arguments: Arguments, known: Known) -> bool:
    """Return whether the slope of a power is finite: its exponent, or what it is of, says so."""
    return bool(arguments["exponent"] >= 1) or known(arguments["self"])


def root_at_zero(x: Tensor, exponent: float) -> Tensor | None:
    """Return where a power is finite and its slope is not: x = 0, exponent between 0 and 1."""
    return x == 0 if 0 < exponent < 1 else None


@activation(
    aten.pow.Tensor_Scalar,
    *(sample(positive(2, 3), n) for n in (3, 1, 0.5)),
    regular=at_least_linear,
    never_negative=even,
    positive=as_are("self"),
    flat_at=root_at_zero,
)
def power(x: Tensor, exponent: float) -> Tensor:
    """Return x^n / x = x^(n-1); 0 at 0 for n < 1, where the quotient has no limit."""
    if exponent < 1:
        return (x ** (exponent - 1)).masked_fill(x == 0, 0.0)
    return x ** (exponent - 1)


@activation(aten.square.default, sample(real(2, 3)), regular=always, never_negative=always)
def square(x: Tensor) -> Tensor:
    """Return x^2 / x = x."""
    return x


@activation(
    aten.sqrt.default,
    sample(positive(2, 3)),
    regular=never_zero("self"),
    never_negative=always,
    positive=as_are("self"),
    flat_at=at(0.0),
)
def sqrt(x: Tensor) -> Tensor:
    """Return f(x)/x = 1/sqrt(x); 0 at 0, where the quotient has no limit."""
    return torch.rsqrt(x).masked_fill(x == 0, 0.0)


# None: they overflow, and `where(x > 9, x, f(x))` must not see the infinite slope.
ZERO_AT_ZERO = tuple(
    curve(target, sample(real(2, 3)), at_zero=AtZero.ZERO, regular=regular)
    for target, regular in [
        (aten.erf.default, always),
        (aten.sin.default, always),
        (aten.atan.default, always),
        (aten.asinh.default, always),
        (aten.sinh.default, None),
        (aten.expm1.default, None),
        (aten.elu.default, always),
        (aten.selu.default, always),
        (aten.celu.default, always),
    ]
)

NARROW: dict[Target, dict[str, Any]] = {
    aten.tan.default: {},
    aten.asin.default: {"flat_at": at(-1.0, 1.0)},
    aten.atanh.default: {},
    aten.erfinv.default: {},
    aten.log1p.default: {"regular": never_zero("self")},
}

NARROW_ZERO_AT_ZERO = tuple(
    curve(target, sample(between(-0.5, 0.5, 2, 3)), at_zero=AtZero.ZERO, **facts)
    for target, facts in NARROW.items()
)

NEVER_NEGATIVE = {
    aten.sigmoid.default,
    aten.softplus.default,
    aten.exp.default,
    aten.exp2.default,
}

OTHER_AT_ZERO = tuple(
    curve(
        target,
        sample(positive(2, 3)),
        never_negative=always if target in NEVER_NEGATIVE else None,
        regular=regular,
        bounded=target is aten.sigmoid.default,
        squashes=target in (aten.sigmoid.default, aten.log_sigmoid.default),
    )
    for target, regular in [
        (aten.sigmoid.default, always),
        (aten.softplus.default, always),
        (aten.log_sigmoid.default, always),
        (aten.exp.default, None),
        (aten.exp2.default, None),
        (aten.log.default, never_zero("self")),
        (aten.log2.default, never_zero("self")),
        (aten.log10.default, never_zero("self")),
        (aten.cos.default, always),
        (aten.cosh.default, None),
        (aten.erfc.default, always),
        (aten.lgamma.default, None),
        (aten.i0.default, None),
        (aten.special_erfcx.default, None),
        (aten.special_i0e.default, always),
    ]
)

OTHERS = (
    curve(aten.acos.default, sample(between(-0.5, 0.5, 2, 3)), flat_at=at(-1.0, 1.0)),
    curve(aten.acosh.default, sample(between(1.5, 2.5, 2, 3)), flat_at=at(1.0)),
    curve(aten.logit.default, sample(between(0.2, 0.8, 2, 3))),
    curve(aten.special_ndtri.default, sample(between(0.2, 0.8, 2, 3))),
    # torch's own trigamma, the slope, has nine digits; by the zeta function it has all of them.
    curve(
        aten.digamma.default,
        sample(between(1.5, 2.5, 2, 3)),
        slope=lambda x: torch.where(
            x > 0, torch.special.zeta(2.0, x), torch.special.polygamma(1, x)
        ),
    ),
    # torch has no derivative for the first argument of zeta.
    Pointwise(
        target=aten.special_zeta.default,
        operands=("other",),
        samples=(sample(torch.tensor(2.5), positive(2, 3)),),
    ),
    Pointwise(
        target=aten.special_zeta.self_scalar,
        operands=("other",),
        samples=(sample(2.5, positive(2, 3)),),
    ),
    curve(aten.polygamma.default, sample(2, between(1.5, 2.5, 2, 3))),
    Pointwise(target=aten.pow.Scalar, operands=("exponent",), samples=(sample(2.0, real(2, 3)),)),
    # Of the imaginary and the real part. An angle does not grow with them: their shares cancel.
    Pointwise(
        target=aten.atan2.default,
        operands=("self", "other"),
        samples=(sample(real(2, 3), real(2, 3)), sample(real(2, 3), real(3))),
    ),
    # With one side constant it is no homogeneous function.
    Pointwise(
        target=aten.hypot.default,
        operands=("self", "other"),
        samples=(sample(real(2, 3), real(2, 3)),),
        when=lambda _, live: len(live) == 1,
        never_negative=always,
    ),
    # torch's own derivative multiplies by 1/6 in single precision, whatever the dtype.
    Pointwise(
        target=aten.hardsigmoid.default,
        operands=("self",),
        samples=(sample(real(2, 3)),),
        slope=lambda x: ((x > -3) & (x < 3)).to(x.dtype) / 6,
        regular=always,
    ),
)


def remainder(call: Call[Pointwise], c: Tensor, passed: Passed) -> dict[str, Tensor]:
    """Return nothing for functions with f(0) = 0, else what the first Taylor term leaves."""
    if call.op.at_zero is AtZero.ZERO:
        return {}
    shares = zip(passed, call.live, strict=True)
    arrived = sum(flow_sum(call, back, call.operand(operand)) for back, operand in shares)
    return {"taylor": flow_sum(call, c, call.out) - arrived}


def tangent(call: Call[Pointwise], c: Tensor) -> tuple[Tensor, ...]:
    """Return c f'(x), and 0 where f is finite and its slope is not: sqrt at 0, asin at 1."""
    slope, flat = call.op.slope, call.op.flat_at
    shapes = [call.operand(o).shape for o in call.live]
    if flat is not None and any(shape != c.shape for shape in shapes):
        wide = zip(tangent(repeat_operands(call, c), c), shapes, strict=True)
        return tuple(k.sum_to_size(shape) for k, shape in wide)
    found = call.vjp(c) if slope is None else (c * of_operand(call, slope),)
    flat_here = None if flat is None else of_operand(call, flat)
    return found if flat_here is None else tuple(k.masked_fill(flat_here, 0.0) for k in found)


def of_operand(call: Call[Pointwise], function: Callable[..., T], *before: Tensor) -> T:
    """Call a record's own function with the live operands and the op's settings."""
    names = {operand.name for operand in call.live}
    settings = {k: v for k, v in call.arguments.items() if k not in names}
    return function(*before, *(call.operand(o) for o in call.live), **settings)


def relevance_through(call: Call[Pointwise], r: Tensor) -> Coefficients:
    """Return R_in = R_out; if f(0) != 0, the Taylor form x f'(x) R_out / f(x)."""
    if call.op.at_zero is AtZero.ZERO:
        return call.only(to_operand(call, r))
    nowhere = call.out == 0
    found = tangent(call, (r / call.out.masked_fill(nowhere, 1.0)).masked_fill(nowhere, 0.0))
    return tuple(call.operand(o) * c for o, c in zip(call.live, found, strict=True))


@rule(
    "identity",
    family=Pointwise,
    cites="achtibat2024, sec. 3.2",
    absorbs=remainder,
    takes=Form.EITHER,
    gives=Form.EITHER,
)
def identity(call: Call[Pointwise], c: Tensor) -> Coefficients:
    """Keep R_in = R_out: c_in = c f(x)/x, at x = 0 its limit c f'(0); c f'(x) if f(0) != 0."""
    if call.form is Form.RELEVANCE:
        return relevance_through(call, c)
    if call.op.passes is not None:
        return call.only(of_operand(call, call.op.passes, c))
    if call.op.ratio is not None:
        return call.only(c * of_operand(call, call.op.ratio))
    if call.op.at_zero is not AtZero.ZERO:
        return tangent(call, c)
    (operand,), (limit,) = call.live, tangent(call, c)
    x = call.operand(operand)
    return call.only(torch.where(x == 0, limit, c * (call.out / x)))


def one_operand(op: Op) -> bool:
    """Return whether relevance passes through one operand only."""
    return len(op.operands) == 1


@rule(
    "pass",
    family=Pointwise,
    cites="anders2021, rule Pass",
    takes=Form.RELEVANCE,
    gives=Form.RELEVANCE,
    serves=one_operand,
)
def pass_on(call: Call[Pointwise], c: Tensor) -> Coefficients:
    """Pass on R_in = R_out whatever f(0) is: a sigmoid passes on all that it received."""
    return call.only(to_operand(call, c))


@rule("taylor", family=Pointwise, cites="montavon2017, eq. 5", absorbs="taylor")
def taylor(call: Call[Pointwise], c: Tensor) -> Coefficients:
    """Take the first Taylor term at x: c_in = c f'(x)."""
    return tangent(call, c)


@rule("gradient", family=Pointwise, cites="simonyan2014", absorbs="gradient")
def gradient(call: Call[Pointwise], c: Tensor) -> Coefficients:
    """Return the plain gradient."""
    return tangent(call, c)
