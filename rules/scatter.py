"""List ops that write some entries over others: linear in what they write and leave."""

from __future__ import annotations

from lrp_engine.graphs.aten import aten
from lrp_engine.method.op import Selection
from lrp_engine.method.samples import (
    integers,
    mask,
    real,
    sample,
)
from lrp_engine.rules.linear import linear

_INDEX = ("index",)
_SCATTER = (real(4, 3), 0, integers(4, 2, 3))

FILLS = (
    linear(aten.fill.Tensor, "value", samples=(sample(real(2, 3), real()),), templates=("self",)),
    linear(aten.scatter.value, "self", selectors=_INDEX, samples=(sample(*_SCATTER, 0.5),)),
    linear(
        aten.index_fill.int_Scalar,
        "self",
        selectors=_INDEX,
        samples=(sample(real(4, 3), 0, integers(4, 2), 0.5),),
    ),
)

COPIES = (
    linear(
        aten.masked_scatter.default,
        "self",
        "source",
        samples=(sample(real(2, 3), mask(2, 3), real(6)),),
    ),
    linear(
        aten.index_copy.default,
        "self",
        "source",
        selectors=_INDEX,
        samples=(sample(real(4, 3), 0, integers(4, 1), real(1, 3)),),
    ),
    linear(aten.diagonal_scatter.default, "self", "src", samples=(sample(real(3, 4), real(3), 0),)),
    linear(
        aten._unsafe_index_put.default,
        "self",
        "values",
        selectors=("indices",),
        samples=(sample(real(4, 3), [integers(4, 2)], real(2, 3), True),),
    ),
)

REDUCTIONS = (
    linear(
        aten.scatter_reduce.two,
        "self",
        "src",
        samples=(
            sample(*_SCATTER, real(2, 3), "sum"),
            sample(*_SCATTER, real(2, 3), "mean"),
            sample(*_SCATTER, real(2, 3), "mean", include_self=False),
        ),
        selectors=_INDEX,
        when=lambda arguments, _: arguments["reduce"] in ("sum", "mean"),
    ),
    Selection(
        target=aten.scatter_reduce.two,
        operands=("self", "src"),
        samples=(
            sample(*_SCATTER, real(2, 3), "amax"),
            sample(*_SCATTER, real(2, 3), "amin", include_self=False),
        ),
        selectors=_INDEX,
        when=lambda arguments, _: arguments["reduce"] in ("amax", "amin"),
    ),
)
