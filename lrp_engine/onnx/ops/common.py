"""Run an entry of the table from within another op: for ops that are made of other ops."""

from __future__ import annotations

from torch import Tensor

from ..op_table import NodeContext, load_op_table
from ..unsupported import Refused
from ..values import OnnxValue


def run_op(
    node: NodeContext, name: str, *inputs: OnnxValue | None, opset: int = 20, **attributes: object
) -> Tensor:
    """Return what the ai.onnx op of that name gives.

    Args:
        node: The node that is made of this op and others.
        name: The op.
        inputs: Its inputs; None for one left out.
        opset: The opset that the op is taken from.
        attributes: Its attributes; one that is None is left out.

    Raises:
        Refused: if there is no such op, or if it does not give one tensor.
    """
    entry = load_op_table().find("", name, opset)
    if entry is None:
        raise Refused(f"it contains {name}, which is not supported")
    given = {k: v for k, v in attributes.items() if v is not None}
    result = entry(node, inputs, given)
    if not isinstance(result, Tensor):
        raise Refused(f"{name} gives more than one tensor here, which is not supported")
    return result
