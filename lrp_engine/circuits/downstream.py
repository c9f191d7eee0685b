"""What follows some nodes: a program from their values to others, with all else given.

Patching a node changes only what comes after it. So the rest is run once, and a patched run
starts at the node. Many patches are stacked along the batch: sample p * batch + b is patch p
of prompt b.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, fx

from ..capture import Captured
from ..errors import InputError
from ..graphs.modules import module_of
from ..graphs.nodes import value
from ..graphs.walk import downstream


@dataclass(frozen=True)
class Suffix:
    """`program(*inputs, *boundary, *values of the starts) -> values of the ends`."""

    program: fx.GraphModule
    boundary: tuple[fx.Node, ...]
    stacked: tuple[bool, ...]

    def run(
        self,
        inputs: Sequence[Tensor],
        boundary: Sequence[Tensor],
        given: Sequence[Tensor],
        copies: int,
    ) -> Sequence[Tensor]:
        """The ends, with `given`, (copies * batch, ...) each, in the place of the starts."""
        leaves = [stack(x, copies) if s else x for x, s in zip(inputs, self.stacked, strict=True)]
        beside = [stack(x, copies) for x in boundary]
        with torch.no_grad():
            ends: Sequence[Tensor] = self.program(*leaves, *beside, *given)
        return ends


def stack(x: Tensor, copies: int) -> Tensor:
    """`copies` of a tensor along axis 0, one behind the other, its other axes laid out as before.

    Later views rely on the layout: attention, for one, returns its heads transposed.
    """
    inner = sorted(range(1, x.dim()), key=x.stride().__getitem__, reverse=True)
    order = [0, *inner]
    stacked = x.permute(order).repeat(copies, *([1] * len(inner)))
    return stacked.permute([order.index(axis) for axis in range(x.dim())])


def suffix(
    captured: Captured, starts: Sequence[fx.Node], ends: Sequence[fx.Node], batch: fx.Node
) -> Suffix:
    """Writes the program from `starts` to `ends`. Axis 0 of `batch`, an input, is the batch.

    Raises InputError if the batch size was fixed at capture or lies on another axis.
    """
    symbol = _batch_symbol(batch)
    behind = {*downstream(set(starts))}
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {p.node: graph.placeholder(p.name) for p in captured.inputs}
    boundary, needed = _boundary(ends, starts, behind, symbol, set(copies))
    for n in [*boundary, *starts]:
        copies[n] = graph.placeholder(f"given_{n.name}")
    for n in captured.graph.nodes:
        if n in needed and n not in copies:
            copies[n] = graph.node_copy(n, lambda a: copies[a])
    graph.output(tuple(copies[end] for end in ends))
    stacked = tuple(_axis_of(symbol, p.node) == 0 for p in captured.inputs)
    return Suffix(module_of(captured.tensors, graph), boundary, stacked)


def _batch_symbol(batch: fx.Node) -> str:
    size = value(batch).shape[0]
    if not isinstance(size, torch.SymInt):
        raise InputError(
            "the batch size was fixed when the model was captured, so patches cannot be stacked:"
            " give example inputs of more than one prompt"
        )
    return str(size)


def _boundary(
    ends: Sequence[fx.Node],
    starts: Sequence[fx.Node],
    behind: set[fx.Node],
    symbol: str,
    inputs: set[fx.Node],
) -> tuple[tuple[fx.Node, ...], set[fx.Node]]:
    """(batched values beside the starts, all nodes) that the ends need, from the ends backward."""
    found: dict[fx.Node, None] = {}
    seen = {*ends, *starts}
    pending = [end for end in ends if end not in starts]
    while pending:
        n = pending.pop()
        for operand in n.all_input_nodes:
            if operand in seen:
                continue
            seen.add(operand)
            if operand not in behind and operand not in inputs and _axis_of(symbol, operand) == 0:
                found[operand] = None
            else:
                pending.append(operand)
    return tuple(found), seen


def _axis_of(symbol: str, node: fx.Node) -> int | None:
    """The one axis of a tensor that grows with the batch; None for anything else."""
    fake = value(node)
    if not isinstance(fake, Tensor):
        return None
    axes = [i for i, size in enumerate(fake.shape) if symbol in _symbols(size)]
    return axes[0] if len(axes) == 1 else None


def _symbols(size: object) -> set[str]:
    if not isinstance(size, torch.SymInt):
        return set()
    return {str(s) for s in size.node.expr.free_symbols}
