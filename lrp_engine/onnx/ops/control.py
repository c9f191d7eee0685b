"""If, Loop and Scan, where what they depend on is known in advance; and sequences."""

from __future__ import annotations

import torch
from torch import Tensor

from ..limits import check_iterations
from ..op_table import NodeContext, op
from ..steps import OnnxGraph
from ..unsupported import Refused
from ..values import (
    HostArray,
    Ints,
    OnnxValue,
    as_ints,
    as_number,
    as_tensor,
)


@op("If")
def if_(
    condition: OnnxValue, *, then_branch: OnnxGraph, else_branch: OnnxGraph, node: NodeContext
) -> list[OnnxValue]:
    """Run one branch. Raises Refused if the condition depends on data."""
    if not isinstance(condition, HostArray):
        raise Refused("the condition depends on data")
    return list(node.run(then_branch if as_number(condition) else else_branch, ()))


@op("Loop")
def loop(
    iterations: OnnxValue | None,
    condition: OnnxValue | None,
    *carried: OnnxValue,
    body: OnnxGraph,
    node: NodeContext,
) -> list[OnnxValue]:
    """Unroll a loop. Raises Refused unless number of iterations and condition are known."""
    most = None if iterations is None else _iterations(iterations, node)
    state, going, gathered, iteration = list(carried), condition, [], 0
    while (most is None or iteration < most) and (going is None or _known(going)):
        check_iterations(iteration + 1, node.name)
        given = going if going is not None else HostArray.of(True, torch.bool)
        going, *results = node.run(body, (HostArray.of(iteration), given, *state))
        state, scanned = results[: len(state)], results[len(state) :]
        gathered.append(scanned)
        iteration += 1
    if not gathered and len(node.outputs) > len(state):
        raise Refused("a loop of no iterations whose results are gathered")
    return [*state, *_stacked(gathered)]


def _stacked(iterations: list[list[OnnxValue]]) -> list[OnnxValue]:
    """Stack what every iteration gave along a new first axis."""
    columns = zip(*iterations, strict=True)
    return [torch.stack([as_tensor(value) for value in column]) for column in columns]


def _iterations(iterations: OnnxValue, node: NodeContext) -> int:
    if not isinstance(iterations, HostArray):
        raise Refused("the number of iterations depends on data")
    if not iterations.concrete:
        raise Refused("the number of iterations depends on a size that is left open")
    return check_iterations(int(as_number(iterations)), node.name)


def _known(condition: OnnxValue) -> bool:
    if not isinstance(condition, HostArray):
        raise Refused("the condition depends on data")
    return bool(as_number(condition))


@op("Scan", since=9)
def scan(
    *values: OnnxValue,
    body: OnnxGraph,
    num_scan_inputs: int,
    scan_input_axes: Ints | None = None,
    scan_input_directions: Ints | None = None,
    scan_output_axes: Ints | None = None,
    scan_output_directions: Ints | None = None,
    node: NodeContext,
) -> list[OnnxValue]:
    """Unroll a scan along any axes. Raises Refused if the scanned axis is left open."""
    results, gathered = _scan_iterations(
        values, body, num_scan_inputs, scan_input_axes, scan_input_directions, node
    )
    columns = [list(map(as_tensor, column)) for column in zip(*gathered, strict=True)]
    axes = scan_output_axes or (0,) * len(columns)
    back = scan_output_directions or (0,) * len(columns)
    stacked = zip(columns, axes, back, strict=True)
    return [*results, *(torch.stack(c[::-1] if b else c, axis) for c, axis, b in stacked)]


def _scanned(
    values: tuple[OnnxValue, ...],
    body: OnnxGraph,
    count: int,
    directions: Ints | None,
    node: NodeContext,
) -> list[OnnxValue]:
    state, gathered = _scan_iterations(values, body, count, None, directions, node)
    return [*state, *_stacked(gathered)]


def _scan_iterations(
    values: tuple[OnnxValue, ...],
    body: OnnxGraph,
    count: int,
    axes: Ints | None,
    directions: Ints | None,
    node: NodeContext,
) -> tuple[list[OnnxValue], list[list[OnnxValue]]]:
    """Unroll along the scanned axis, whose size has to be known: last state, every output."""
    state = list(values[: len(values) - count])
    scanned = [as_tensor(value) for value in values[len(values) - count :]]
    axes, back = axes or (0,) * count, directions or (0,) * count
    columns = zip(scanned, axes, back, strict=True)
    rows = [_rows(x, axis, bool(b), node) for x, axis, b in columns]
    gathered = []
    for row in zip(*rows, strict=True):
        results = list(node.run(body, (*state, *row)))
        state, outputs = results[: len(state)], results[len(state) :]
        gathered.append(outputs)
    return state, gathered


def _rows(x: Tensor, axis: int, backward: bool, node: NodeContext) -> list[Tensor]:
    size = x.shape[axis]
    if not isinstance(size, int):
        raise Refused("the scanned axis has a size that is left open")
    check_iterations(size, node.name)
    rows = list(x.unbind(axis))
    return rows[::-1] if backward else rows


@op("Scan", since=8)
def scan_8(
    lengths: OnnxValue | None,
    *values: OnnxValue,
    body: OnnxGraph,
    num_scan_inputs: int,
    directions: Ints | None = None,
    node: NodeContext,
) -> list[OnnxValue]:
    """Unroll a scan with a batch axis before the scanned one, as in opset 8."""
    if lengths is not None:
        raise Refused("sequence lengths are not supported")
    batch = as_tensor(values[0]).shape[0]
    if not isinstance(batch, int):
        raise Refused("the batch size is left open")
    each = [
        _scanned(
            tuple(as_tensor(value)[i] for value in values),
            body,
            num_scan_inputs,
            directions,
            node,
        )
        for i in range(check_iterations(batch, node.name))
    ]
    return _stacked(each)


@op("SequenceConstruct", since=11)
def sequence_construct(*xs: OnnxValue) -> OnnxValue:
    """Make a sequence of values."""
    return tuple(xs)


@op("SequenceEmpty", since=11)
def sequence_empty(*, dtype: int = 1) -> OnnxValue:
    """Make a sequence of no values."""
    return ()


@op("SequenceAt", since=11)
def sequence_at(sequence: OnnxValue, position: int) -> OnnxValue:
    """Return one value of a sequence."""
    return _entries(sequence)[position]


@op("SequenceLength", since=11)
def sequence_length(sequence: OnnxValue) -> HostArray:
    """Return the length of a sequence, which is always known."""
    return HostArray.of(len(_entries(sequence)))


@op("SequenceInsert", since=11)
def sequence_insert(sequence: OnnxValue, x: OnnxValue, position: int | None = None) -> OnnxValue:
    """Insert a value into a sequence, by default at its end."""
    entries = list(_entries(sequence))
    entries.insert(len(entries) if position is None else position, x)
    return tuple(entries)


@op("SequenceErase", since=11)
def sequence_erase(sequence: OnnxValue, position: int = -1) -> OnnxValue:
    """Remove a value from a sequence, by default the last."""
    entries = list(_entries(sequence))
    entries.pop(position)
    return tuple(entries)


@op("ConcatFromSequence", since=11)
def concat_from_sequence(sequence: OnnxValue, *, axis: int, new_axis: int = 0) -> Tensor:
    """Concatenate the values of a sequence, or stack them along a new axis."""
    entries = [as_tensor(v) for v in _entries(sequence)]
    return torch.stack(entries, axis) if new_axis else torch.cat(entries, axis)


@op("SplitToSequence", since=11)
def split_to_sequence(
    x: Tensor, split: OnnxValue | None = None, *, axis: int = 0, keepdims: int = 1
) -> OnnxValue:
    """Split a tensor into a sequence of parts of known sizes."""
    if split is None:
        parts = torch.split(x, 1, axis)
        return parts if keepdims else tuple(p.squeeze(axis) for p in parts)
    if not isinstance(split, HostArray):
        raise Refused("the sizes of the parts depend on data")
    sizes = list(as_ints(split)) if split.array.ndim else as_ints(split)[0]
    return tuple(torch.split(x, sizes, axis))


def _entries(sequence: OnnxValue) -> tuple[OnnxValue, ...]:
    if not isinstance(sequence, tuple):
        raise Refused("a tensor stands where a sequence is expected")
    return sequence
