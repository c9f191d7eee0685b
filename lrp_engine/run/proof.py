"""Prove, where a capture may not hold, that its program computes what the model computes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from ..capture import Captured
from ..capture.captured import CaptureMode
from ..errors import CaptureError, InputError
from ..graphs.precision import largest_finite, split_flat
from .inputs import other_path

_RECORDED = "recorded"


class Proof:
    """Compare a capture with its model, once for everything that is in doubt.

    In doubt are: a path that was recorded for the example's data; sizes of 1, where free sizes were
    traced as "2 or more"; ops that were decomposed, whose parts may round otherwise. Everything
    that runs a captured model holds one of these and asks it before results are believed.
    """

    def __init__(self) -> None:
        self._proved: set[frozenset[str]] = set()

    def run_model(self, captured: Captured, leaves: Sequence[Any]) -> list[Any] | None:
        """Return the model's own flat outputs if they are needed as evidence, else None.

        Raises InputError if the model itself fails on these inputs.
        """
        if _doubts(captured, leaves) in {None, *self._proved} or captured.rerun is None:
            return None
        with torch.no_grad():
            return _run_model(captured.rerun, captured, leaves)

    def compare(
        self,
        captured: Captured,
        leaves: Sequence[Any],
        outputs: Sequence[Any],
        own: Sequence[Any] | None,
    ) -> None:
        """Compare flat outputs of a program with the model's own, and remember that they agree.

        Raises InputError or CaptureError, which say what in the capture does not hold.
        """
        if own is None:
            return
        with torch.no_grad():
            _require_agreement(captured, outputs, own)
        doubts = _doubts(captured, leaves)
        if doubts is not None and _RECORDED not in doubts:
            self._proved.add(doubts)

    def check(
        self, captured: Captured, leaves: Sequence[Any], run: Callable[..., Sequence[Any]]
    ) -> None:
        """Run the model and `run(*leaves)` beside each other where something is in doubt."""
        own = self.run_model(captured, leaves)
        if own is not None:
            self.compare(captured, leaves, list(run(*leaves)), own)


def _doubts(captured: Captured, leaves: Sequence[Any]) -> frozenset[str] | None:
    """Name what may not hold for these inputs although their shapes are allowed; None if nothing.

    Recorded paths are in doubt at every call: their own assertions do not cover every choice (a
    float cut to an integer, for one).
    """
    if captured.mode is CaptureMode.RECORDED:
        return frozenset({_RECORDED})
    ones = frozenset(str(s) for s, size in captured.shapes.sizes(leaves).items() if size == 1)
    return ones | frozenset(captured.taken_apart) or None


def _run_model(rerun: Callable[..., Any], captured: Captured, leaves: Sequence[Any]) -> list[Any]:
    args, kwargs = pytree.tree_unflatten(list(leaves), captured.in_spec)
    try:
        return pytree.tree_leaves(rerun(*args, **kwargs))
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        if captured.mode is CaptureMode.RECORDED:
            raise
        raise InputError(
            "the model itself fails on these inputs, so that what was captured cannot be compared"
            f" with it: {type(error).__name__}: {str(error).strip()}"
        ) from error


def _require_agreement(captured: Captured, outputs: Sequence[Any], own: Sequence[Any]) -> None:
    if all(_agree(mine, theirs) for mine, theirs in zip(outputs, own, strict=True)):
        return
    if captured.mode is CaptureMode.RECORDED:
        raise other_path("the model's own output differs")
    if captured.taken_apart:
        raise CaptureError(
            f"{', '.join(captured.taken_apart)} was decomposed, and the decomposition does not"
            " reproduce the model's output. Add an op record (CONTRIBUTING.md shows how)."
        )
    raise InputError(
        "the model treats a size of 1 differently from larger ones, which a capture with free sizes"
        " does not know. Capture with Engine(..., dynamic=False) at this size."
    )


def _agree(mine: Any, theirs: Any) -> bool:
    """Compare two outputs up to what another choice of kernel may change."""
    if not isinstance(mine, Tensor):
        return True
    if mine.shape != theirs.shape:
        return False
    if not mine.dtype.is_floating_point:
        return torch.equal(mine, theirs)
    slack = 64 * torch.finfo(mine.dtype).eps
    room = slack * max(map(largest_finite, split_flat(theirs)), default=0.0)
    return all(
        torch.allclose(a, b, rtol=slack, atol=room, equal_nan=True)
        for a, b in zip(split_flat(mine), split_flat(theirs), strict=True)
    )
