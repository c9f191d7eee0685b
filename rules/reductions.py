"""List reductions of groups of entries, as graph networks have them: by index or by segment.

Sums and means are linear, the largest and the smallest entry are selections, and a product of n
entries is homogeneous of degree n: each factor gets 1/n of what the product received.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.fx.node import Target

from lrp_engine.graphs.aten import aten
from lrp_engine.graphs.schema import Arguments
from lrp_engine.method.call import Call
from lrp_engine.method.op import Homogeneous, Linear, Op, Selection
from lrp_engine.method.samples import Sample, integers, positive, real, sample

SCATTERED = (real(4, 3), 0, integers(4, 2, 3), real(2, 3))
INDEXED = (real(4, 3), 0, integers(4, 5), real(5, 3))
LENGTHS = torch.tensor([2, 1, 2])
OFFSETS = torch.tensor([0, 2, 2, 5])  # the second segment is empty


def _in_mode(*modes: str) -> Callable[[Arguments, frozenset[str]], bool]:
    return lambda arguments, _: arguments["reduce"] in modes


def _operands(target: Target) -> tuple[str, str]:
    return ("self", "src" if target is aten.scatter_reduce.two else "source")


def _choosing(target: Target, *samples: Sample) -> Op:
    return Selection(
        target=target,
        operands=_operands(target),
        samples=samples,
        selectors=("index",),
        when=_in_mode("amax", "amin"),
    )


def _linear(target: Target, *samples: Sample) -> Op:
    return Linear(
        target=target,
        operands=_operands(target),
        samples=samples,
        selectors=("index",),
        when=_in_mode("sum", "mean"),
    )


def count_by_index(call: Call[Homogeneous]) -> Tensor:
    """Return how many live factors the product at each place has."""
    live = {operand.name for operand in call.live}
    source = call.op.operands[1]
    ones = torch.ones_like(call[source])
    counts = torch.zeros_like(call.out)
    add = counts.scatter_add if call.op.target is aten.scatter_reduce.two else counts.index_add
    written = add(call["dim"], call["index"], ones)
    counts = written if source in live else counts
    if "self" in live:
        kept = call.arguments.get("include_self", True)
        counts = counts + (1 if kept else (written == 0).to(counts.dtype))
    return counts


def count_by_segment(call: Call[Homogeneous]) -> Tensor:
    """Return how many factors each segment has."""
    data, lengths = call["data"], call["lengths"]
    if lengths is None:
        lengths = call["offsets"].diff(dim=-1)
    counts: Tensor = lengths.to(data.dtype)
    return counts.reshape(*lengths.shape, *([1] * (data.dim() - lengths.dim())))


def _product(target: Target, *samples: Sample) -> Op:
    return Homogeneous(
        target=target,
        operands=_operands(target),
        samples=samples,
        selectors=("index",),
        when=_in_mode("prod"),
        degree=count_by_index,
    )


BY_INDEX = (
    _linear(
        aten.scatter_reduce.two,
        sample(*SCATTERED, "sum"),
        sample(*SCATTERED, "mean"),
        sample(*SCATTERED, "mean", include_self=False),
    ),
    _choosing(
        aten.scatter_reduce.two,
        sample(*SCATTERED, "amax"),
        sample(*SCATTERED, "amin", include_self=False),
    ),
    _product(
        aten.scatter_reduce.two,
        sample(*SCATTERED, "prod"),
        sample(*SCATTERED, "prod", include_self=False),
    ),
    _linear(
        aten.index_reduce.default,
        sample(*INDEXED, "mean"),
        sample(*INDEXED, "mean", include_self=False),
    ),
    _choosing(
        aten.index_reduce.default,
        sample(*INDEXED, "amax"),
        sample(*INDEXED, "amin", include_self=False),
    ),
    _product(
        aten.index_reduce.default,
        sample(*INDEXED, "prod"),
        sample(*INDEXED, "prod", include_self=False),
    ),
)


def _without_start(*modes: str) -> Callable[[Arguments, frozenset[str]], bool]:
    """Serve segments that begin with nothing: a start value would be a member of each."""
    return lambda arguments, _: arguments["reduce"] in modes and arguments.get("initial") is None


_SEGMENTS = aten.segment_reduce.default
BY_SEGMENT = (
    Linear(
        target=_SEGMENTS,
        operands=("data",),
        samples=(
            sample(real(5, 3), "sum", lengths=LENGTHS),
            sample(real(5, 3), "mean", lengths=LENGTHS),
            sample(real(5), "sum", offsets=OFFSETS),
        ),
        selectors=("lengths", "indices", "offsets"),
        when=_without_start("sum", "mean"),
    ),
    Selection(
        target=_SEGMENTS,
        operands=("data",),
        samples=(
            sample(real(5, 3), "max", lengths=LENGTHS),
            sample(real(5, 3), "min", lengths=LENGTHS),
        ),
        selectors=("lengths", "indices", "offsets"),
        when=_without_start("max", "min"),
    ),
    Homogeneous(
        target=_SEGMENTS,
        operands=("data",),
        samples=(sample(positive(5, 3), "prod", lengths=LENGTHS),),
        selectors=("lengths", "indices", "offsets"),
        when=_without_start("prod"),
        degree=count_by_segment,
    ),
)
