"""Checks of inputs and state at the public edge: each bad input gets its own clear error."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from .capture import Captured
from .capture.captured import How
from .errors import InputError
from .graph import value
from .plan import Plan


def inputs(captured: Captured, leaves: Sequence[Any]) -> None:
    """Raises InputError if shapes, dtypes, devices or values do not fit the capture."""
    names = [port.name for port in captured.inputs]
    broken = captured.shapes.broken(leaves)
    if broken:
        for i, name in enumerate(names):
            broken = broken.replace(f"input leaf {i}:", f"input {name!r}:")
        raise InputError(f"{broken}. Capture again with example inputs of this shape.")
    sizes = captured.shapes.sizes(leaves)
    for claim in captured.claims:
        if not claim.holds(sizes):
            raise InputError(
                f"at sizes {sizes} the model's attention mask is of another kind than at the sizes"
                " seen before (a sliding window?). Capture again with inputs of this size."
            )
    for port, leaf in zip(captured.inputs, leaves, strict=True):
        fake = value(port.node)
        if isinstance(leaf, Tensor) and isinstance(fake, Tensor):
            _one(port.name, leaf, fake)
        elif not isinstance(fake, Tensor) and leaf != fake and fake is not None:
            raise InputError(f"input {port.name!r} was {fake!r} at capture and is {leaf!r} now")
    _parameters(captured)


def _one(name: str, leaf: Tensor, fake: Tensor) -> None:
    if leaf.dtype != fake.dtype:
        raise InputError(f"input {name!r} has dtype {leaf.dtype}, the capture {fake.dtype}")
    if leaf.device != fake.device:
        raise InputError(
            f"input {name!r} is on {leaf.device}, the model was captured on {fake.device}:"
            " move the input, or capture again"
        )
    if leaf.dtype.is_floating_point and bool(torch.isnan(leaf).any()):
        raise InputError(f"input {name!r} holds NaN")


def _parameters(captured: Captured) -> None:
    """Parameters are the model's own; they must still be what was captured."""
    for attribute, name, device, dtype in captured.held:
        now = captured.current(attribute)
        if now is None:
            raise InputError(f"the model's {name!r} is gone since capture")
        if now.device != device or now.dtype != dtype:
            raise InputError(
                f"parameter {name!r} moved from {device}, {dtype} to {now.device}, {now.dtype}"
                " since capture: capture again"
            )
        if now is not captured.tensors[attribute]:
            raise InputError(
                f"parameter {name!r} was replaced by another tensor since capture: capture again"
            )


_OTHER_PATH = (
    "this model's control flow depends on its data; it was recorded for the example inputs and"
    " does not hold for these: {why}. Capture again with these inputs."
)


@contextmanager
def at_run_time(captured: Captured) -> Iterator[None]:
    """Names the likely cause if a recorded capture meets an input that takes another path."""
    try:
        yield
    except (RuntimeError, AssertionError) as error:
        if captured.how is How.RECORDED:
            raise InputError(_OTHER_PATH.format(why=error)) from error
        raise


def same_path(captured: Captured, leaves: Sequence[Any], outputs: Sequence[Any]) -> None:
    """Runs a recorded model itself: only equal outputs show that its path was the recorded one.

    The trace's own assertions do not cover every choice (a float cut to an integer, for one).
    """
    if captured.rerun is None:
        return
    args, kwargs = pytree.tree_unflatten(list(leaves), captured.in_spec)
    own = pytree.tree_leaves(captured.rerun(*args, **kwargs))
    for mine, theirs in zip(outputs, own, strict=True):
        if isinstance(mine, Tensor) and not (
            mine.shape == theirs.shape and bool(((mine == theirs) | (mine != mine)).all())
        ):
            raise InputError(_OTHER_PATH.format(why="the model's own output differs"))


def versions(captured: Captured, leaves: Sequence[Any]) -> tuple[int, ...]:
    """Counts in-place changes of inputs and parameters."""
    tensors = [*leaves, *captured.tensors.values()]
    return tuple(t._version for t in tensors if isinstance(t, Tensor) and not t.is_inference())


def coarsest_dtype(plan: Plan) -> torch.dtype:
    """The dtype of lowest precision among the live values: it sets the tolerance."""
    found = {
        v.dtype
        for a in plan.assignments
        if isinstance(v := value(a.node), Tensor) and v.dtype.is_floating_point
    }
    return max(found, key=lambda d: torch.finfo(d).eps, default=torch.float32)
