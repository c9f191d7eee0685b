"""Refuse ops that run a graph of their own."""

from __future__ import annotations

from torch import Tensor, fx

from ..capture import Captured
from ..errors import CaptureError
from ..graphs.nodes import origin, target_name, value


def refuse_nested(captured: Captured) -> Captured:
    """Raise CaptureError if an op runs a graph of its own.

    Requires nothing. Ensures that every op's operands are tensors and plain values: a rule sees an
    op's operands, but not what a nested graph does with them.
    """
    for node in captured.graph.find_nodes(op="get_attr"):
        if not isinstance(value(node), Tensor):
            raise CaptureError(_refusal(next(iter(node.users))))
    return captured


def _refusal(node: fx.Node) -> str:
    return (
        f"{target_name(node)} in {origin(node)} runs a graph of its own, which rules cannot look"
        " into. Write what it does as plain ops: a branch as a Python `if`, which is recorded"
        " as the example takes it; a scan that is a linear recurrence as"
        " `torch.ops.lrp_engine.linear_recurrence`."
    )
