"""Serve powers of which the exponent is a tensor, as a learned one is (GeM pooling).

As with a number in its place: x^p is an activation where p > 0, and a scale where p < 0. Which of
the two it is was decided by the exponent's values, and is compared at every call. An exponent that
carries relevance itself leaves no such choice: its power is served by its first Taylor term.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from lrp_engine.graphs.aten import aten
from lrp_engine.graphs.schema import Arguments
from lrp_engine.graphs.signs import Sign, sign_of
from lrp_engine.method.claims import as_are, never_zero
from lrp_engine.method.op import AtZero, Normaliser, Pointwise
from lrp_engine.method.samples import between, positive, sample

_BASE = frozenset({"self"})
_NEEDS = (
    "it depends on the values of the exponent what this power is, an activation (x^3) or a scale"
    " (x^(-1/2)), and they are of both signs, zero, or not known before the model runs. Split the"
    " tensor, so that each exponent is a parameter of one sign, or write the power as"
    " torch.exp(p * torch.log(x))"
)


def _is(sign: Sign) -> Callable[[Arguments, frozenset[str]], bool]:
    def holds(arguments: Arguments, live: frozenset[str]) -> bool:
        return live == _BASE and sign_of(arguments["exponent"]) is sign

    return holds


def power(c: Tensor, x: Tensor, exponent: Tensor) -> Tensor:
    """Return c x^(p-1), and 0 at 0 for p < 1, where the quotient x^p / x has no limit."""
    quotient = torch.pow(x, exponent - 1)
    no_limit = (x == 0) & (exponent < 1)
    return (c * quotient.masked_fill(no_limit, 0.0)).sum_to_size(x.shape)


def root_at_zero(x: Tensor, exponent: Tensor) -> Tensor:
    """Return where a power is finite and its slope is not: x = 0, exponent between 0 and 1."""
    return (x == 0) & (exponent > 0) & (exponent < 1)


def no_slope(x: Tensor, exponent: Tensor) -> Tensor:
    """Do the same where both are live: a power of x < 0 is one for whole exponents only."""
    return root_at_zero(x, exponent) | (x < 0)


POWERS = (
    Pointwise(
        target=aten.pow.Tensor_Tensor,
        operands=("self",),
        samples=(
            sample(positive(2, 3), between(2.0, 3.0, 1)),
            sample(positive(2, 3), between(0.2, 0.6, 1)),
            sample(positive(2, 3), positive(2, 3)),
            sample(positive(3), positive(2, 3)),
        ),
        when=_is(Sign.ABOVE),
        needs=_NEEDS,
        at_zero=AtZero.ZERO,
        passes=power,
        regular=never_zero("self"),
        never_negative=as_are("self"),
        positive=as_are("self"),
        flat_at=root_at_zero,
    ),
    Normaliser(
        target=aten.pow.Tensor_Tensor,
        operands=("self",),
        samples=(
            sample(positive(2, 3), between(-2.0, -0.5, 1)),
            sample(positive(3), between(-2.0, -0.5, 2, 3)),
        ),
        when=_is(Sign.BELOW),
        never_negative=as_are("self"),
        regular=never_zero("self"),
    ),
    Pointwise(
        target=aten.pow.Tensor_Tensor,
        operands=("exponent",),
        samples=(sample(positive(3), positive(2, 3)), sample(positive(2, 3), positive(3))),
        when=lambda _, live: live == {"exponent"},
    ),
    Pointwise(
        target=aten.pow.Tensor_Tensor,
        operands=("self", "exponent"),
        samples=(sample(positive(3), positive(2, 3)), sample(positive(2, 3), positive(3))),
        when=lambda _, live: live == {"self", "exponent"},
        flat_at=no_slope,
    ),
)
