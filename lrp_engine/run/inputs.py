"""Check inputs and the model's state at the public edge: each fault has its own error."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, nn

from ..capture import Captured
from ..capture.ambient import leave_modes
from ..capture.captured import CaptureMode, Claim
from ..capture.signature import as_call
from ..errors import InputError, LrpError
from ..graphs.nodes import device_of, value

_INDEX = (torch.int64, torch.int32)
_ASSERTED = "Runtime assertion failed for expression"  # how torch.export writes them
_FEW = 16  # entries that an error shows
_VERSION = attrgetter("_version")


def flatten_inputs(captured: Captured, inputs: Any) -> list[Any]:
    """Flatten what the user calls the model with, in the order of the captured inputs.

    Raises InputError if structure, shapes, dtypes, devices or values do not fit the capture.
    """
    args, kwargs = as_call(inputs)
    try:
        leaves = captured.flatten_inputs(args, kwargs)
    except ValueError as error:
        raise InputError(str(error)) from error
    # Tensors of inference mode can neither be differentiated nor watched for changes.
    leaves = [v.clone() if isinstance(v, Tensor) and v.is_inference() else v for v in leaves]
    check_inputs(captured, leaves)
    return leaves


def check_inputs(captured: Captured, leaves: Sequence[Any]) -> None:
    """Raise InputError if shapes, dtypes, devices or values do not fit the capture."""
    names = [port.name for port in captured.inputs]
    check_shapes(captured.shapes.broken(leaves), names)
    for free in captured.shapes.free():
        leaf = leaves[free.leaf]
        check_not_empty(names[free.leaf], leaf, free.axis)
    check_claims(captured.claims, captured.shapes.sizes(leaves))
    for port, leaf in zip(captured.inputs, leaves, strict=True):
        fake = value(port.node)
        if not isinstance(fake, Tensor):
            check_constant(port.name, leaf, fake)
        elif isinstance(leaf, Tensor):
            check_tensor(port.name, leaf, fake.dtype, device_of(fake))
            check_held(port.name, leaf, captured.held.get(port.name))


def check_shapes(broken: str | None, names: Sequence[str]) -> None:
    """Raise InputError if something is wrong with the shapes of the inputs of these names."""
    if broken:
        for i, name in enumerate(names):
            broken = broken.replace(f"input leaf {i}:", f"input {name!r}:")
        raise InputError(f"{broken}. Capture again with example inputs of this shape.")


def check_not_empty(name: str, leaf: object, axis: int) -> None:
    """Raise InputError if an axis whose size may change has no entries: nothing to explain."""
    if isinstance(leaf, Tensor) and leaf.shape[axis] == 0:
        raise InputError(
            f"input {name!r} of shape {tuple(leaf.shape)} is empty: there is nothing to explain"
        )


def check_claims(claims: Sequence[Claim], sizes: Mapping[Any, int]) -> None:
    """Raise InputError if something that a pass relied on is not true at these sizes."""
    for claim in claims:
        if not claim.holds(sizes):
            raise InputError(
                f"at sizes {sizes} the model's attention mask is of another kind than at the sizes"
                " seen before (a sliding window?). Capture again with inputs of this size."
            )


def check_constant(name: str, leaf: object, expected: object) -> None:
    """Raise InputError if an input that is no tensor is not what it was at capture."""
    if leaf != expected and expected is not None:
        raise InputError(f"input {name!r} was {expected!r} at capture and is {leaf!r} now")


def check_tensor(name: str, leaf: Tensor, dtype: torch.dtype, device: torch.device) -> None:
    """Raise InputError if a tensor has another dtype or device than at capture, or holds NaN."""
    if leaf.dtype != dtype:
        raise InputError(f"input {name!r} has dtype {leaf.dtype}, the capture {dtype}")
    if leaf.device != device:
        raise InputError(
            f"input {name!r} is on {leaf.device}, the model was captured on {device}:"
            " move the input, or capture again"
        )
    if leaf.dtype.is_floating_point and bool(torch.isnan(leaf).any()):
        raise InputError(f"input {name!r} holds NaN")


def check_held(name: str, leaf: Tensor, held: Tensor | None) -> None:
    """Raise InputError if an input that the capture holds for one value only has another."""
    if held is not None and not torch.equal(leaf, held):
        raise InputError(
            f"the values of input {name!r} steer what the model computes; it was captured for"
            f" others ({_shown(held)}). Capture again with these inputs."
        )


def _shown(tensor: Tensor) -> str:
    return str(tensor.tolist()) if tensor.numel() <= _FEW else f"shape {tuple(tensor.shape)}"


@contextmanager
def enter_run(captured: Captured) -> Iterator[None]:
    """Compare torch's modes with those of the capture; leave inference mode and autocast.

    Raises InputError if another default dtype or autocast is in force than at capture.
    """
    if captured.premises and (changed := captured.premises.broken_mode()):
        raise stale(changed)
    with leave_modes():
        yield


def stale(what: str) -> InputError:
    """Return the error for something of the model that is no longer as it was captured."""
    return InputError(
        f"what was captured no longer holds: {what}. Put it back, or capture again: make a new"
        " Engine (or CircuitModel)."
    )


def check_premises(captured: Captured) -> None:
    """Raise InputError unless the model is still what was captured.

    Compared are training flags, the attributes that its code reads, its modules, and where its
    parameters are. Hooks are not: where there are others, the model runs beside its programs.
    """
    check_parameters(captured)
    if captured.premises and (changed := captured.premises.broken()):
        raise stale(changed)
    for decided in captured.decided:
        if changed := decided.change():
            raise stale(changed)


def check_parameters(captured: Captured) -> None:
    """Raise InputError unless the model's parameters are still those that were captured."""
    if not captured.kept.are_there():
        for home, key, what, name in captured.homes:
            if home.get(key) is not what:
                raise InputError(_changed(home.get(key), what, name))
    if captured.has_moved():
        for tensor, name, device, dtype in captured.tensor_records:
            if tensor.device != device or tensor.dtype != dtype:
                raise InputError(_moved(name, device, dtype, tensor))


def check_layouts(captured: Captured) -> None:
    """Raise InputError unless every parameter has the shape and strides of the capture.

    Looked at only when a program failed: most programs run with other strides as well.
    """
    for node in captured.graph.find_nodes(op="get_attr"):
        now, then = captured.tensors[str(node.target)], value(node)
        if (now.shape, now.stride()) != (then.shape, then.stride()):
            raise InputError(
                f"parameter {node.meta['tensor_name']!r} changed from shape {tuple(then.shape)},"
                f" strides {then.stride()} to {tuple(now.shape)}, {now.stride()} since capture:"
                " capture again"
            )


def count_versions(captured: Captured, leaves: Sequence[Any]) -> tuple[int, ...]:
    """Count in-place changes of inputs and parameters."""
    given = [t for t in leaves if isinstance(t, Tensor) and not t.is_inference()]
    return tuple(map(_VERSION, (*given, *captured.counted)))


@contextmanager
def guard_run(captured: Captured, leaves: Sequence[Any]) -> Iterator[None]:
    """Check the capture's premises after a forward pass, while a GPU is at work; explain failures.

    A failure's likely cause is named: an index that is no row of a table or, if the capture was
    recorded, inputs that take another path.
    """
    try:
        yield
    except LrpError:
        check_premises(captured)
        raise
    except ValueError as error:  # of an op that looks at its values
        check_premises(captured)
        raise InputError(str(error)) from error
    except (RuntimeError, AssertionError, IndexError) as error:
        check_premises(captured)
        check_layouts(captured)
        if captured.mode is CaptureMode.RECORDED:
            raise other_path(str(error)) from error
        if isinstance(error, IndexError):
            raise InputError(f"{error}: {describe_ranges(captured, leaves)}") from error
        if _ASSERTED in str(error):
            raise _other_size(str(error)) from error
        raise
    check_premises(captured)


def other_path(why: str) -> InputError:
    """Return the error for inputs that take another path than the recorded one."""
    return InputError(
        "this model's control flow depends on its data; it was recorded for the example inputs and"
        f" does not hold for these: {why}. Capture again with these inputs."
    )


def _other_size(why: str) -> InputError:
    """Return the error where a size that data decide is not what torch.export asserts of it."""
    return InputError(
        "a size that the data decide (how much a boolean index, nonzero or a number read off a"
        f" tensor selects) is not the one that torch.export takes it for: {why}. Give what is"
        " selected a size that does not depend on data, with a mask that multiplies or with an"
        " index of integers, or make no use of broadcasting over it."
    )


def _changed(now: Any, what: Tensor | nn.Module, name: str) -> str:
    if now is None:
        return f"the model's {name!r} is gone since capture"
    if not isinstance(what, Tensor):
        return f"module {name!r} was replaced by another since capture: capture again"
    if (now.device, now.dtype) != (what.device, what.dtype):
        return _moved(name, what.device, what.dtype, now)
    return f"parameter {name!r} was replaced by another tensor since capture: capture again"


def _moved(name: str, device: torch.device, dtype: torch.dtype, now: Tensor) -> str:
    return (
        f"parameter {name!r} moved from {device}, {dtype} to {now.device}, {now.dtype}"
        " since capture: capture again"
    )


def describe_ranges(captured: Captured, leaves: Sequence[Any]) -> str:
    """Return which numbers the integer inputs hold: the likely cause of an index out of range."""
    found = [
        f"input {port.name!r} holds {int(leaf.min())} to {int(leaf.max())}"
        for port, leaf in zip(captured.inputs, leaves, strict=True)
        if isinstance(leaf, Tensor) and leaf.numel() and leaf.dtype in _INDEX
    ]
    return f"{', '.join(found)}. Does the model know all of these (is it this model's tokenizer)?"
