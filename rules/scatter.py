"""List ops that write some entries over others: linear in what they write and leave."""

from __future__ import annotations

import math

import torch

from lrp_engine.graphs.aten import aten
from lrp_engine.method.call import Arriving, Call, Coefficients, at_result
from lrp_engine.method.op import Linear
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


def written_adjoint(call: Call[Linear], c: Arriving) -> Coefficients:
    """Give c to the entry that was written last at each place, and to what was left as it was.

    The op itself says which: it is run on numbers of entries. Where a place is written twice,
    torch's derivative gives c to both, though only one of them is in the result.
    """
    if call.arguments.get("accumulate"):
        return call.vjp(c)
    name, out = call.op.operands[1], at_result(c)
    source = call[name]
    count = math.prod(source.shape)  # numel() of a symbolic shape does not compile
    entries = torch.arange(1, count + 1, device=out.device).view(source.shape)
    kept = torch.zeros(out.shape, dtype=entries.dtype, device=out.device)
    places = call.run(**{"self": kept, name: entries})
    if any(operand.name == name for operand in call.live):
        sums = torch.zeros(count + 1, dtype=out.dtype, device=out.device)
        sums = sums.scatter_add(0, places.flatten(), out.flatten())
        written = sums[1:].view(source.shape).to(source.dtype)
    left = out.masked_fill(places > 0, 0.0)
    return tuple(left if operand.name == "self" else written for operand in call.live)


_TWICE = torch.tensor([[2, 1, 0], [2, 1, 1]])  # two places that are written twice

COPIES = (
    linear(
        aten.index_put.default,
        "self",
        "values",
        selectors=("indices",),
        samples=(
            sample(real(4, 3), [integers(4, 1)], real(1, 3), True),
            sample(real(4, 3), [torch.tensor([1, 3, 1])], real(3, 3)),
            sample(real(4, 3), [torch.tensor([1, 3])], real(3)),
        ),
        adjoint=written_adjoint,
    ),
    linear(
        aten.scatter.src,
        "self",
        "src",
        selectors=_INDEX,
        samples=(
            sample(real(4, 3), 0, integers(4, 1, 3), real(1, 3)),
            sample(real(4, 3), 0, _TWICE, real(3, 3)),
        ),
        adjoint=written_adjoint,
    ),
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
        samples=(
            sample(real(4, 3), 0, integers(4, 1), real(1, 3)),
            sample(real(4, 3), 0, torch.tensor([1, 1]), real(2, 3)),
        ),
        adjoint=written_adjoint,
    ),
    linear(aten.diagonal_scatter.default, "self", "src", samples=(sample(real(3, 4), real(3), 0),)),
    linear(
        aten._unsafe_index_put.default,
        "self",
        "values",
        selectors=("indices",),
        samples=(
            sample(real(4, 3), [integers(4, 2)], real(2, 3), True),
            sample(real(4, 3), [torch.tensor([1, 3, 1])], real(3, 3)),
        ),
        adjoint=written_adjoint,
    ),
)
