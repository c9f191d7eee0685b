"""Write programs from some nodes of a graph to others, with all other values given.

Patching a node changes only what is computed from it. So the rest is run once, and a patched run
starts at the node. Many patches are stacked along the batch: sample p * batch + b is patch p
of prompt b.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, fx

from ..capture import Captured
from ..capture.ambient import leave_modes
from ..errors import InputError
from ..graphs.modules import module_of
from ..graphs.nodes import value
from ..graphs.walk import closure, downstream, inputs
from .circuit_model import CircuitModel


@dataclass(frozen=True)
class DownstreamProgram:
    """A program(*inputs, *boundary, *values of the starts) -> values of the ends.

    `boundary` holds the nodes whose values have to be given beside the starts; `stacked` says of
    each model input whether its axis 0 is the batch.
    """

    program: fx.GraphModule
    boundary: tuple[fx.Node, ...]
    stacked: tuple[bool, ...]

    @leave_modes()
    def run(
        self,
        inputs: Sequence[Tensor],
        boundary: Sequence[Tensor],
        given: Sequence[Tensor],
        copies: int,
    ) -> Sequence[Tensor]:
        """Compute the ends with other values at the starts.

        Args:
            inputs: the model's inputs for one batch.
            boundary: the values of `self.boundary` in the run of these inputs.
            given: a value for each start, (copies * batch, ...).
            copies: how many patches are stacked.

        Returns:
            The value of each end, (copies * batch, ...).
        """
        leaves = [
            repeat_batch(x, copies) if s else x for x, s in zip(inputs, self.stacked, strict=True)
        ]
        beside = [repeat_batch(x, copies) for x in boundary]
        with torch.no_grad():
            ends: Sequence[Tensor] = self.program(*leaves, *beside, *given)
        return ends


def repeat_batch(x: Tensor, copies: int) -> Tensor:
    """Repeat a tensor along axis 0, its other axes laid out in memory as before.

    Later views rely on the layout: attention, for one, returns its heads transposed.
    """
    inner = sorted(range(1, x.dim()), key=x.stride().__getitem__, reverse=True)
    order = [0, *inner]
    repeated = x.permute(order).repeat(copies, *([1] * len(inner)))
    return repeated.permute([order.index(axis) for axis in range(x.dim())])


def downstream_program(
    model: CircuitModel, starts: Sequence[fx.Node], ends: Sequence[fx.Node]
) -> DownstreamProgram:
    """Return the program from some nodes of a model to others, written once per model.

    Raises:
        InputError: the batch size was fixed at capture.
    """
    return model.remember(
        ("downstream", tuple(starts), tuple(ends)),
        lambda: write_downstream(model.graph, starts, ends, model.graph.inputs[0].node),
    )


def write_downstream(
    captured: Captured, starts: Sequence[fx.Node], ends: Sequence[fx.Node], batch: fx.Node
) -> DownstreamProgram:
    """Write the program from `starts` to `ends`. Axis 0 of `batch`, an input, is the batch.

    Raises:
        InputError: the batch size was fixed at capture.
    """
    symbol = _batch_symbol(batch)
    graph = fx.Graph()
    copies = {port.node: graph.placeholder(port.name) for port in captured.inputs}
    boundary, needed = _find_boundary(ends, starts, symbol, set(copies))
    for n in [*boundary, *starts]:
        copies[n] = graph.placeholder(f"given_{n.name}")
    for n in captured.graph.nodes:
        if n in needed and n not in copies:
            copies[n] = graph.node_copy(n, lambda a: copies[a])
    graph.output(tuple(copies[end] for end in ends))
    stacked = tuple(_batch_axis(symbol, p.node) == 0 for p in captured.inputs)
    return DownstreamProgram(module_of(captured.tensors, graph), boundary, stacked)


def _batch_symbol(batch: fx.Node) -> str:
    size = value(batch).shape[0]
    if not isinstance(size, torch.SymInt):
        raise InputError(
            "the batch size was fixed when the model was captured, so patches cannot be stacked:"
            " give example inputs of more than one prompt"
        )
    return str(size)


def _find_boundary(
    ends: Sequence[fx.Node], starts: Sequence[fx.Node], symbol: str, given: set[fx.Node]
) -> tuple[tuple[fx.Node, ...], set[fx.Node]]:
    """Find (batched values beside the starts, all nodes) that the ends need."""
    behind = downstream(starts)
    never = {*behind, *given, *starts, *ends}

    def beside(n: fx.Node) -> bool:
        return n not in never and _batch_axis(symbol, n) == 0

    needed = closure(ends, inputs, stop=lambda n: n in starts or beside(n))
    return tuple(n for n in needed if beside(n)), set(needed)


def _batch_axis(symbol: str, node: fx.Node) -> int | None:
    """Return the one axis of a tensor that grows with the batch; None for anything else."""
    fake = value(node)
    if not isinstance(fake, Tensor):
        return None
    axes = [i for i, size in enumerate(fake.shape) if symbol in _symbols(size)]
    return axes[0] if len(axes) == 1 else None


def _symbols(size: object) -> set[str]:
    if not isinstance(size, torch.SymInt):
        return set()
    return {str(s) for s in size.node.expr.free_symbols}
