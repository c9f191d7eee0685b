"""Serve products of several operands that carry relevance, and quotients."""

from __future__ import annotations

from torch import Tensor
from torch.fx.node import Target

from lrp_engine.graphs.aten import aten
from lrp_engine.method.call import Call, Coefficients, Form
from lrp_engine.method.claims import as_are, never_zero
from lrp_engine.method.op import (
    AtZero,
    Op,
    Product,
    Quotient,
)
from lrp_engine.method.parameters import NotNegative
from lrp_engine.method.relevance import to_operand
from lrp_engine.method.rule import rule
from lrp_engine.method.samples import (
    Sample,
    positive,
    real,
    sample,
)
from lrp_engine.rules.linear import constants


def product(
    target: Target, *factors: str, samples: tuple[Sample, ...], plus: str | None = None
) -> Product:
    """Return one table row: out = product of the factors (+ a summand)."""
    operands = factors if plus is None else (*factors, plus)
    return Product(target=target, operands=operands, factors=factors, samples=samples)


PRODUCTS = (
    Product(
        target=aten.mul.Tensor,
        operands=("self", "other"),
        factors=("self", "other"),
        samples=(
            sample(real(2, 3), real(2, 3)),
            sample(real(2, 3), real(3)),
            sample(real(2, 3), 2.0),
        ),
        elementwise=True,
        at_zero=AtZero.ZERO,
        never_negative=as_are("self", "other"),
    ),
    product(aten.matmul.default, "self", "other", samples=(sample(real(2, 3), real(3, 4)),)),
    product(aten.mm.default, "self", "mat2", samples=(sample(real(2, 3), real(3, 4)),)),
    product(aten.bmm.default, "self", "mat2", samples=(sample(real(2, 2, 3), real(2, 3, 4)),)),
    product(aten.mv.default, "self", "vec", samples=(sample(real(2, 3), real(3)),)),
    product(aten.dot.default, "self", "tensor", samples=(sample(real(3), real(3)),)),
    product(
        aten.linear.default,
        "input",
        "weight",
        plus="bias",
        samples=(
            sample(real(2, 3), real(4, 3), real(4)),
            sample(real(2, 3), real(4, 3)),
        ),
    ),
    product(
        aten.addmm.default,
        "mat1",
        "mat2",
        plus="self",
        samples=(sample(real(4), real(2, 3), real(3, 4)),),
    ),
    product(
        aten.baddbmm.default,
        "batch1",
        "batch2",
        plus="self",
        samples=(sample(real(2, 2, 4), real(2, 2, 3), real(2, 3, 4)),),
    ),
    product(
        aten.einsum.default, "tensors", samples=(sample("bi,bj->bij", [real(2, 3), real(2, 4)]),)
    ),
)

QUOTIENTS = (
    Quotient(
        target=aten.div.Tensor,
        operands=("self", "other"),
        numerator="self",
        denominator="other",
        samples=(
            sample(real(2, 3), positive(2, 3)),
            sample(real(2, 3), positive(3)),
            sample(real(3), positive(2, 3)),
            sample(real(2, 3), 2.0),
        ),
        elementwise=True,
        at_zero=AtZero.ZERO,
        regular=never_zero("other"),
    ),
)


@rule(
    "uniform",
    family=Product,
    cites="achtibat2024, prop. 3.3",
    absorbs=constants,
    takes=Form.PROPORTIONAL,
    gives=Form.EITHER,
)
def uniform(call: Call[Product], c: Tensor) -> Coefficients:
    """Split evenly among n live factors: c_i = (d out / d factor_i)^T c / n, not for a summand."""
    if call.form is Form.RELEVANCE:
        return call.only(to_operand(call, c))
    n = max(1, sum(operand.name in call.op.factors for operand in call.live))
    shares = zip(call.live, call.vjp(c), strict=True)
    return tuple(g / n if o.name in call.op.factors and n > 1 else g for o, g in shares)


def elementwise(op: Op) -> bool:
    """Return whether a product is taken entry by entry."""
    return op.elementwise


@rule(
    "proportional",
    family=Product,
    cites="arras2019, LRP-abs",
    absorbs="stabiliser",
    serves=elementwise,
)
def proportional(call: Call[Product], c: Tensor, stabiliser: NotNegative = 1e-9) -> Coefficients:
    """Split an elementwise product a b by magnitude: R_a = |a| / (|a| + |b|) R, R_b likewise."""
    if len(call.live) == 1:
        return call.vjp(c)
    a, b = (call.operand(o) for o in call.live)
    q = c / (a.abs() + b.abs() + stabiliser)
    back = (q * a.abs() * b, q * b.abs() * a)
    return tuple(k.sum_to_size(x.shape) for k, x in zip(back, (a, b), strict=True))


@rule("gradient", family=Product, cites="simonyan2014", absorbs="gradient")
def gradient(call: Call[Product], c: Tensor) -> Coefficients:
    """Return the plain gradient: n factors pass on n times the relevance."""
    return call.vjp(c)


def numerator(op: Op) -> tuple[str, ...]:
    """Return only the numerator of a quotient."""
    return (op.numerator,) if isinstance(op, Quotient) else ()


@rule(
    "denominator_stopped",
    family=Quotient,
    cites="achtibat2024, prop. 3.4",
    carries=numerator,
    takes=Form.PROPORTIONAL,
    gives=Form.EITHER,
)
def denominator_stopped(call: Call[Product], c: Tensor) -> Coefficients:
    """Hold the denominator constant, as a scale: c_in = c / denominator, R_in = R."""
    if call.form is Form.RELEVANCE:
        return call.only(to_operand(call, c))
    return call.vjp(c)


@rule("gradient", family=Quotient, cites="simonyan2014", absorbs="gradient")
def quotient_gradient(call: Call[Product], c: Tensor) -> Coefficients:
    """Return the plain gradient, the denominator included."""
    return call.vjp(c)
