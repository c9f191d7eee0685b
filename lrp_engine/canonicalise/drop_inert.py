"""Remove ops whose result is their operand: detach, dropout in eval mode, slices of everything."""

from __future__ import annotations

from torch import Tensor, fx
from torch.fx.node import Argument

from ..capture import Captured
from ..graphs.nodes import value
from ..graphs.schema import bind
from ..method.registry import Registry
from .rewriting import Copies, rewrite

_CHECKS_METADATA = "aten::_assert_tensor_metadata"


def drop_inert(captured: Captured, registry: Registry) -> Captured:
    """Remove every op that only returns its operand.

    Requires nothing. Ensures that no such op is left, and no assertion of a tensor's metadata.
    """

    def operand(node: fx.Node, graph: fx.Graph, copies: Copies) -> Argument:
        schema = getattr(node.target, "_schema", None)
        if schema is None:
            return None
        if schema.name == _CHECKS_METADATA:
            return ()
        arguments = bind(node.target, node.args, node.kwargs)
        op = registry.find(node.target, arguments, frozenset())
        if op is None or not op.idle_if_same_layout:
            return None
        original = arguments[op.operands[0]]
        return copies[original] if _same_layout(value(node), value(original)) else None

    return rewrite(captured, operand).captured


def _same_layout(result: object, operand: object) -> bool:
    # Strides count: later views may rely on those of a copy.
    if not isinstance(result, Tensor) or not isinstance(operand, Tensor):
        return False
    return (
        result.dtype == operand.dtype
        and tuple(map(str, result.shape)) == tuple(map(str, operand.shape))
        and tuple(map(str, result.stride())) == tuple(map(str, operand.stride()))
    )
