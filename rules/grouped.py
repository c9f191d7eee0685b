"""List grouped matrix products: rows sorted by group, one weight per group (routed experts)."""

from __future__ import annotations

from torch import Tensor
from torch.fx.node import Target

from lrp_engine.graphs.aten import aten
from lrp_engine.graphs.nodes import value
from lrp_engine.graphs.schema import Arguments
from lrp_engine.method.call import Call
from lrp_engine.method.op import Product, WeightedSum
from lrp_engine.method.samples import (
    Sample,
    group_ends,
    real,
    real_bfloat16,
    sample,
)


def grouped_adjoint(call: Call[WeightedSum], c: Tensor, weight: Tensor) -> Tensor:
    """Run the same op with every group's weight transposed."""
    result: Tensor = call.run(**{call.op.input: c, call.op.weight: weight.transpose(-2, -1)})
    return result


def grouped(target: Target, x: str, weight: str, call: Sample) -> WeightedSum:
    """Return one table row: row s of the result is x_s W_g for the group g of row s."""

    def rows_by_group(arguments: Arguments, live: frozenset[str]) -> bool:
        no_bias = arguments.get("bias") is None and arguments["offs"] is not None
        sizes = value(arguments[x]).dim(), value(arguments[weight]).dim()
        return live == {x} and no_bias and sizes == (2, 3)

    return WeightedSum(
        target=target,
        operands=(x,),
        input=x,
        weight=weight,
        selectors=("offs",),
        samples=(call,),
        adjoint=grouped_adjoint,
        when=rows_by_group,
    )


# The op of another library is declared by its name: it exists once that library is loaded.
_CALLS = (
    (
        aten._grouped_mm.default,
        "self",
        "mat2",
        sample(real_bfloat16(6, 8), real_bfloat16(3, 8, 8), offs=group_ends(2, 2, 6)),
    ),
    (
        "transformers.grouped_mm_fallback.default",
        "input",
        "weight",
        sample(real(6, 4), real(3, 4, 5), group_ends(2, 2, 6)),
    ),
)

GROUPED = tuple(grouped(*call) for call in _CALLS)

# Weights that are computed from the input are factors like any others.
DYNAMIC = tuple(
    Product(
        target=target,
        operands=(x, weight),
        factors=(x, weight),
        selectors=("offs",),
        samples=(call,),
    )
    for target, x, weight, call in _CALLS
)
