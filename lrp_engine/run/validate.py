"""Checks of inputs and state at the public edge: each bad input gets its own clear error."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from ..capture import Captured
from ..capture.captured import Claim, How
from ..errors import CaptureError, InputError, TargetError
from ..graphs.nodes import value
from ..graphs.precision import coarsest, largest, pieces
from ..plan.plan import Plan


def inputs(captured: Captured, leaves: Sequence[Any]) -> None:
    """Raises InputError if shapes, dtypes, devices or values do not fit the capture."""
    shaped(captured.shapes.broken(leaves), [port.name for port in captured.inputs])
    claimed(captured.claims, captured.shapes.sizes(leaves))
    for port, leaf in zip(captured.inputs, leaves, strict=True):
        fake = value(port.node)
        if not isinstance(fake, Tensor):
            constant(port.name, leaf, fake)
        elif isinstance(leaf, Tensor):
            one(port.name, leaf, fake.dtype, fake.device)


def shaped(broken: str | None, names: Sequence[str]) -> None:
    """Raises InputError if something is wrong with the shapes of the inputs of these names."""
    if broken:
        for i, name in enumerate(names):
            broken = broken.replace(f"input leaf {i}:", f"input {name!r}:")
        raise InputError(f"{broken}. Capture again with example inputs of this shape.")


def claimed(claims: Sequence[Claim], sizes: Mapping[Any, int]) -> None:
    """Raises InputError if something that a pass relied on is not true at these sizes."""
    for claim in claims:
        if not claim.holds(sizes):
            raise InputError(
                f"at sizes {sizes} the model's attention mask is of another kind than at the sizes"
                " seen before (a sliding window?). Capture again with inputs of this size."
            )


def constant(name: str, leaf: Any, expected: Any) -> None:
    """Raises InputError if an input that is no tensor is not what it was at capture."""
    if leaf != expected and expected is not None:
        raise InputError(f"input {name!r} was {expected!r} at capture and is {leaf!r} now")


def one(name: str, leaf: Tensor, dtype: torch.dtype, device: torch.device) -> None:
    """Raises InputError if a tensor is of another kind than at capture, or holds NaN."""
    if leaf.dtype != dtype:
        raise InputError(f"input {name!r} has dtype {leaf.dtype}, the capture {dtype}")
    if leaf.device != device:
        raise InputError(
            f"input {name!r} is on {leaf.device}, the model was captured on {device}:"
            " move the input, or capture again"
        )
    if leaf.dtype.is_floating_point and bool(torch.isnan(leaf).any()):
        raise InputError(f"input {name!r} holds NaN")


def parameters(captured: Captured) -> None:
    """Parameters are the model's own; raises InputError unless they are still what was captured."""
    for home, key, what, name in captured.places:
        if home.get(key) is not what:
            raise InputError(_changed(home.get(key), what, name))
    for tensor, name, device, dtype in captured.held:
        if tensor.device != device or tensor.dtype != dtype:
            raise InputError(_moved(name, device, dtype, tensor))


def layouts(captured: Captured) -> None:
    """Raises InputError unless every parameter has the shape and strides that it was captured with.

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


_INDEX = (torch.int64, torch.int32)
_OTHER_PATH = (
    "this model's control flow depends on its data; it was recorded for the example inputs and"
    " does not hold for these: {why}. Capture again with these inputs."
)


@contextmanager
def at_run_time(captured: Captured, leaves: Sequence[Any]) -> Iterator[None]:
    """Around a forward pass: checks the parameters, while a GPU is at work, and names the likely
    cause of a failure: an index that is no row of a table, or, if the capture was recorded, inputs
    that take another path."""
    try:
        yield
    except (RuntimeError, AssertionError, IndexError) as error:
        parameters(captured)
        layouts(captured)
        if captured.how is How.RECORDED:
            raise InputError(_OTHER_PATH.format(why=error)) from error
        if isinstance(error, IndexError):
            raise InputError(f"{error}: {_ranges(captured, leaves)}") from error
        raise
    parameters(captured)


def _ranges(captured: Captured, leaves: Sequence[Any]) -> str:
    found = [
        f"input {port.name!r} holds {int(leaf.min())} to {int(leaf.max())}"
        for port, leaf in zip(captured.inputs, leaves, strict=True)
        if isinstance(leaf, Tensor) and leaf.numel() and leaf.dtype in _INDEX
    ]
    return f"{', '.join(found)}. Does the model know all of these (is it this model's tokenizer)?"


def unproved(captured: Captured, leaves: Sequence[Any]) -> frozenset[str] | None:
    """Why the trace may not hold for these inputs although their shapes are allowed.

    A recorded path holds for the example's; its own assertions do not cover every choice (a float
    cut to an integer, for one). Free sizes were traced as "2 or more": a model may treat 1
    differently. Ops taken apart must give what they gave whole. None if there is nothing to prove.
    """
    if captured.how is How.RECORDED:
        return frozenset({"recorded"})
    ones = frozenset(str(s) for s, size in captured.shapes.sizes(leaves).items() if size == 1)
    return ones | frozenset(captured.taken_apart) or None


def agree(captured: Captured, outputs: Sequence[Any], own: Sequence[Any]) -> None:
    """Raises unless the program gave what the model itself did: a path of its own would show."""
    if all(_same(mine, theirs) for mine, theirs in zip(outputs, own, strict=True)):
        return
    if captured.how is How.RECORDED:
        raise InputError(_OTHER_PATH.format(why="the model's own output differs"))
    if captured.taken_apart:
        raise CaptureError(
            f"{', '.join(captured.taken_apart)} had to be taken apart, and the parts give another"
            " result than the model itself. Add an op record (CONTRIBUTING.md shows how)."
        )
    raise InputError(
        "the model treats a size of 1 differently from larger ones, which a capture with free sizes"
        " does not know. Capture with Engine(..., dynamic=False) at this size."
    )


def models_own(captured: Captured, leaves: Sequence[Any]) -> list[Any] | None:
    """The flat outputs of the model itself, if there is one."""
    if captured.rerun is None:
        return None
    args, kwargs = pytree.tree_unflatten(list(leaves), captured.in_spec)
    try:
        return pytree.tree_leaves(captured.rerun(*args, **kwargs))
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        if captured.how is How.RECORDED:
            raise
        raise InputError(
            "the model itself fails on these inputs, so that what was captured cannot be compared"
            f" with it: {type(error).__name__}: {str(error).strip()}"
        ) from error


def _same(mine: Any, theirs: Any) -> bool:
    """Equal but for what another choice of kernel may change."""
    if not isinstance(mine, Tensor):
        return True
    if mine.shape != theirs.shape:
        return False
    if not mine.dtype.is_floating_point:
        return torch.equal(mine, theirs)
    slack = 64 * torch.finfo(mine.dtype).eps
    room = slack * max(map(largest, pieces(theirs)), default=0.0)
    return all(
        torch.allclose(a, b, rtol=slack, atol=room, equal_nan=True)
        for a, b in zip(pieces(mine), pieces(theirs), strict=True)
    )


def finite(explained: Tensor) -> Callable[[], None]:
    """Asks whether what is explained is finite; the call waits for the answer and raises
    TargetError. A GPU answers while it works on what was asked of it afterwards.
    """
    answer = torch.isfinite(explained).all()
    if answer.device.type == "cuda":
        here = torch.empty((), dtype=torch.bool, pin_memory=True).copy_(answer, non_blocking=True)
        arrived = torch.cuda.Event()
        arrived.record()
    else:
        here, arrived = answer, None

    def read() -> None:
        if arrived is not None:
            arrived.synchronize()
        if not here:
            raise TargetError(f"the explained output is not finite: {explained.tolist()}")

    return read


def versions(captured: Captured, leaves: Sequence[Any]) -> tuple[int, ...]:
    """Counts in-place changes of inputs and parameters."""
    tensors = [*leaves, *captured.tensors.values()]
    return tuple(t._version for t in tensors if isinstance(t, Tensor) and not t.is_inference())


def coarsest_dtype(plan: Plan) -> torch.dtype:
    """The dtype of lowest precision among the live values: it sets the tolerance."""
    return coarsest(a.node for a in plan.assignments)
