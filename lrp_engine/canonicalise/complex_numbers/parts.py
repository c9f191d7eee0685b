"""Name the ops that act on each part of a complex value by itself."""

from __future__ import annotations

from ...graphs.aten import SIZE, aten
from ...graphs.schema import Arguments
from ...method.op import Inert, Move
from ...method.registry import Registry

_SELF, _BOTH = ("self",), ("self", "other")

# By op, the arguments that are values. Numbers and real tensors among them have no imaginary part.
LINEAR: dict[object, tuple[str, ...]] = {
    aten.add.Tensor: _BOTH,
    aten.add.Scalar: _BOTH,
    aten.sub.Tensor: _BOTH,
    aten.sub.Scalar: _BOTH,
    aten.rsub.Tensor: _BOTH,
    aten.rsub.Scalar: _BOTH,
    aten.neg.default: _SELF,
    aten._neg_view.default: _SELF,
    aten.positive.default: _SELF,
    aten.resolve_conj.default: _SELF,
    aten.resolve_neg.default: _SELF,
    aten.sum.default: _SELF,
    aten.sum.dim_IntList: _SELF,
    aten.mean.default: _SELF,
    aten.mean.dim: _SELF,
    aten.cumsum.default: _SELF,
    aten.diff.default: ("self", "prepend", "append"),
    aten.where.self: _BOTH,
    aten.where.ScalarOther: _BOTH,
    aten.where.ScalarSelf: _BOTH,
    aten.masked_fill.Scalar: ("self", "value"),
    aten.masked_fill.Tensor: ("self", "value"),
    aten.constant_pad_nd.default: ("self", "value"),
    aten.pad.default: ("self", "value"),
    aten.copy.default: ("self", "src"),
    aten.slice_scatter.default: ("self", "src"),
    aten.select_scatter.default: ("self", "src"),
    aten.diagonal_scatter.default: ("self", "src"),
    aten.scatter.src: ("self", "src"),
    aten.scatter.value: ("self", "value"),
    aten.scatter_add.default: ("self", "src"),
    aten.index_add.default: ("self", "source"),
    aten.index_put.default: ("self", "values"),
    aten.lerp.Scalar: ("self", "end"),
    aten.embedding.default: ("weight",),
}

# What these read of a complex value is the same of either part.
OF_SHAPE = {SIZE, aten.sym_numel.default, aten.sym_stride.int, aten.sym_storage_offset.default}


def values_among(target: object, arguments: Arguments, registry: Registry) -> tuple[str, ...]:
    """Return the arguments that are values, of an op that acts on each part; none if it mixes."""
    if target in LINEAR:
        return LINEAR[target]
    for op in registry.records(target):  # type: ignore[arg-type]
        serves = op.when is None or op.when(arguments, frozenset())
        if isinstance(op, (Move, Inert)) and serves:
            return op.operands
    return ()
