"""Ops at which relevance ends, each with its reason, and tables that integers are looked up in.

Ops with integer or boolean results need no entry: such values cannot carry relevance.
"""

from __future__ import annotations

from typing import Any

import torch

from lrp_engine.call import Call
from lrp_engine.op import Coefficients, Lookup, Stop
from lrp_engine.rule import rule
from lrp_engine.samples import integers, real, sample

aten = torch.ops.aten

SHAPE_ONLY = "its values do not depend on the operand's values"
STEPS = "piecewise constant: no first-order term, and no share to speak of"
RANDOM = "random draws do not explain anything"

SHAPES = tuple(
    Stop(target=target, operands=("self",), reason=SHAPE_ONLY)
    for target in (
        aten.zeros_like.default,
        aten.ones_like.default,
        aten.full_like.default,
        aten.empty_like.default,
        aten.new_zeros.default,
        aten.new_ones.default,
        aten.new_full.default,
        aten.new_empty.default,
    )
)

PIECEWISE_CONSTANT = tuple(
    Stop(target=target, operands=("self",), reason=STEPS)
    for target in (
        aten.sign.default,
        aten.floor.default,
        aten.ceil.default,
        aten.round.default,
        aten.trunc.default,
    )
)

DRAWS = tuple(
    Stop(target=target, operands=("self",), reason=RANDOM)
    for target in (aten.rand_like.default, aten.randn_like.default, aten.bernoulli.default)
)

TABLES = (
    Lookup(
        target=aten.embedding.default,
        operands=("weight",),
        table="weight",
        indices="indices",
        samples=(sample(real(5, 3), integers(5, 2, 4)),),
    ),
)


@rule("stopped", family=Stop, cites="by definition of the op", stops=True)
def stopped(call: Call, c: Any) -> Coefficients:
    """No relevance passes."""
    return tuple(None for _ in call.live)


@rule("adjoint", family=Lookup, cites="bach2015, eq. 58")
def adjoint(call: Call, c: Any) -> Coefficients:
    """A table that carries relevance itself gets what its rows got."""
    return call.vjp(c)
