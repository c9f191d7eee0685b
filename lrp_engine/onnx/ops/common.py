"""For ops that are made of other ops: runs an entry of the table in their place."""

from __future__ import annotations

from typing import Any

from ..op_table import NodeContext, load_op_table
from ..unsupported import Refused
from ..values import OnnxValue


def run_op(
    node: NodeContext, name: str, *inputs: OnnxValue | None, opset: int = 20, **attributes: Any
) -> Any:
    """What the ai.onnx op of that name gives."""
    entry = load_op_table().find("", name, opset)
    if entry is None:
        raise Refused(f"it contains {name}, which is not supported")
    given = {k: v for k, v in attributes.items() if v is not None}
    return entry(node, inputs, given)
