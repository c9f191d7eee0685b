"""List ops at which relevance ends, with the reason, and tables that integers are looked up in.

Ops with integer or boolean results need no entry: such values cannot carry relevance.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from lrp_engine.graphs.aten import aten
from lrp_engine.graphs.schema import Arguments
from lrp_engine.method.call import Arriving, Call, Coefficients
from lrp_engine.method.op import (
    Attention,
    Homogeneous,
    Linear,
    Lookup,
    Move,
    Normalisation,
    Op,
    Pointwise,
    Product,
    Quotient,
    Rounding,
    Selection,
    Stop,
    WeightedSum,
)
from lrp_engine.method.rule import rule
from lrp_engine.method.samples import (
    between,
    integers,
    positive,
    real,
    sample,
)

SHAPE_ONLY = "its values do not depend on the operand's values"
STEPS = "piecewise constant: no first-order term, and no share to speak of"
RANDOM = "random draws do not explain anything"

SHAPES = tuple(
    Stop(
        target=target,
        operands=("self",),
        templates=("self",),
        samples=(call,),
        reason=SHAPE_ONLY,
    )
    for target, call in [
        (aten.zeros_like.default, sample(real(2, 3))),
        (aten.ones_like.default, sample(real(2, 3))),
        (aten.full_like.default, sample(real(2, 3), 0.5)),
        (aten.empty_like.default, sample(real(2, 3))),
        (aten.new_zeros.default, sample(real(2, 3), [4])),
        (aten.new_ones.default, sample(real(2, 3), [4])),
        (aten.new_full.default, sample(real(2, 3), [4], 0.5)),
        (aten.new_empty.default, sample(real(2, 3), [4])),
        (aten.fill.Scalar, sample(real(2, 3), 0.5)),
    ]
)


def _rounds(arguments: Arguments, live: frozenset[str]) -> bool:
    return arguments["rounding_mode"] is not None


def _of_order_zero(name: str) -> Callable[[Arguments, frozenset[str]], bool]:
    return lambda arguments, _: bool(arguments[name] == 0)


COUNTS = tuple(
    Stop(
        target=target,
        operands=operands,
        samples=(call,),
        reason=STEPS,
        when=_of_order_zero(order),
    )
    for target, order, operands, call in [
        (aten.linalg_vector_norm.default, "ord", ("self",), sample(real(2, 3), 0, [1])),
        (aten.norm.ScalarOpt_dim, "p", ("self",), sample(real(2, 3), 0, [1])),
        (aten._pdist_forward.default, "p", ("self",), sample(real(4, 3), 0.0)),
        (
            aten._cdist_forward.default,
            "p",
            ("x1", "x2"),
            sample(real(2, 3), real(4, 3), 0.0, None),
        ),
    ]
)

PIECEWISE_CONSTANT = (
    *(
        Stop(target=target, operands=("self",), samples=(sample(real(2, 3)),), reason=STEPS)
        for target in (
            aten.sign.default,
            aten.sgn.default,
        )
    ),
    Stop(
        target=aten.heaviside.default,
        operands=("self",),
        samples=(sample(real(2, 3), real(2, 3)),),
        reason=STEPS,
    ),
    Stop(
        target=aten.floor_divide.default,
        operands=("self", "other"),
        samples=(sample(real(2, 3), positive(2, 3)),),
        reason=STEPS,
    ),
    Stop(
        target=aten.div.Tensor_mode,
        operands=("self", "other"),
        samples=(sample(real(2, 3), positive(2, 3), rounding_mode="floor"),),
        reason=STEPS,
        when=_rounds,
    ),
)

DRAWS = tuple(
    Stop(
        target=target,
        operands=("self",),
        samples=(sample(between(0.1, 0.9, 2, 3)),),
        reason=RANDOM,
    )
    for target in (aten.rand_like.default, aten.randn_like.default, aten.bernoulli.default)
)

TABLES = (
    Lookup(
        target=aten.embedding.default,
        operands=("weight",),
        table="weight",
        indices="indices",
        selectors=("indices",),
        samples=(
            sample(real(5, 3), integers(5, 2, 4)),
            sample(real(5, 3), integers(5, 2, 4), 2, True),
        ),
    ),
)


@rule("stopped", family=Stop, cites="own: by definition of the op", stops=True)
def stopped(call: Call[Op], c: Arriving) -> Coefficients:
    """Pass on no relevance."""
    return tuple(None for _ in call.live)


# A preset may take the result of any op for a constant.
CONSTANTS = tuple(
    rule("stopped", family=family, cites="own: the preset's choice", stops=True)(stopped.propagate)
    for family in (
        Move,
        Linear,
        WeightedSum,
        Product,
        Quotient,
        Rounding,
        Selection,
        Pointwise,
        Homogeneous,
        Normalisation,
        Attention,
        Lookup,
    )
)


@rule("adjoint", family=Lookup, cites="bach2015, eq. 58")
def adjoint(call: Call[Op], c: Arriving) -> Coefficients:
    """Give a table that carries relevance itself what its rows got.

    Padding, frequencies and sparsity are settings for training: they change gradients only.
    """
    plain = {"padding_idx": -1, "scale_grad_by_freq": False, "sparse": False}
    return replace(call, arguments={**call.arguments, **plain}).vjp(c)
