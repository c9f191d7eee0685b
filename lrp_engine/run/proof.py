"""Prove at its first call that a captured program computes what the model computes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from ..capture import Captured
from ..capture.captured import CaptureMode
from ..errors import CaptureError, InputError
from ..graphs.precision import largest_finite, split_flat
from ..graphs.randomness import describe_draws
from ..graphs.tracing_lock import one_at_a_time
from .inputs import check_layouts, describe_ranges, other_path, stale
from .randomness import RandomState

_TRACED_OTHERWISE = (
    "Models of transformers do that with masks: give the model all that its tokenizer or processor"
    " returns (attention_mask, token_type_ids)."
)


class Proof:
    """Compare a capture with its model at its first call, once per class of sizes.

    Everything that runs a captured model holds one of these and asks it before results are
    believed. Sizes are of three classes: 0, 1, and more, which is what a trace with free sizes
    tells apart. A recorded path, and hooks that were not there at capture, are in doubt at every
    call. The model and its programs draw the same random numbers.
    """

    def __init__(self) -> None:
        self._proved: set[Doubt] = set()

    def run_model(self, captured: Captured, leaves: Sequence[Any]) -> list[Any] | None:
        """Return the model's own flat outputs if they are needed as evidence, else None.

        The generators of random numbers are left as they were.

        Raises InputError if the model itself fails on these inputs.
        """
        if captured.rerun is None or _doubt(captured, leaves) in self._proved:
            return None
        with torch.no_grad(), RandomState.now(captured).replay():
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
            _require_agreement(captured, leaves, outputs, own)
        doubt = _doubt(captured, leaves)
        if not doubt.always:
            self._proved.add(doubt)

    def check(
        self, captured: Captured, leaves: Sequence[Any], run: Callable[..., Sequence[Any]]
    ) -> list[Any] | None:
        """Run the model and `run(*leaves)` beside each other at a first call.

        Returns the model's own flat outputs then, else None.
        """
        own = self.run_model(captured, leaves)
        if own is not None:
            with RandomState.now(captured).replay():
                outputs = list(run(*leaves))
            self.compare(captured, leaves, outputs, own)
        return own


class Doubt(NamedTuple):
    """The doubt at a call: a graph, at sizes of these classes, and whether at every call."""

    graph: int
    sizes: frozenset[str]
    always: bool


def _doubt(captured: Captured, leaves: Sequence[Any]) -> Doubt:
    """Return what a call must prove.

    The assertions of a recorded path do not cover every choice (a float cut to an integer, for
    one): it is in doubt at every call.
    """
    classes = {f"{s}: {min(size, 2)}" for s, size in captured.shapes.sizes(leaves).items()}
    always = captured.mode is CaptureMode.RECORDED or _new_hook(captured) is not None
    return Doubt(captured.fingerprint, frozenset(classes), always)


def _new_hook(captured: Captured) -> str | None:
    return captured.premises.new_hook() if captured.premises else None


@one_at_a_time  # what the model writes to itself is undone
def _run_model(rerun: Callable[..., Any], captured: Captured, leaves: Sequence[Any]) -> list[Any]:
    # The model may write to its inputs.
    given = [leaf.clone() if isinstance(leaf, Tensor) else leaf for leaf in leaves]
    args, kwargs = pytree.tree_unflatten(given, captured.in_spec)
    try:
        return pytree.tree_leaves(rerun(*args, **kwargs))
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        if captured.mode is CaptureMode.RECORDED:
            raise
        check_layouts(captured)
        hint = f". {describe_ranges(captured, leaves)}" if isinstance(error, IndexError) else ""
        raise InputError(
            "the model itself fails on these inputs, so that what was captured cannot be compared"
            f" with it: {type(error).__name__}: {str(error).strip()}{hint}"
        ) from error


def require_rows(row: Tensor, own: Tensor) -> None:
    """Raise CaptureError unless rows computed alone are those of the model's own output."""
    with torch.no_grad():
        if not agree(row, own):
            raise CaptureError(
                "the program that computes one row of the output gives another row than the model:"
                " use full_output=True"
            )


def _require_agreement(
    captured: Captured, leaves: Sequence[Any], outputs: Sequence[Any], own: Sequence[Any]
) -> None:
    # Values inside the model that became outputs, too, come behind its own.
    if len(outputs) >= len(own) and all(map(agree, outputs, own)):
        return
    if hook := _new_hook(captured):
        raise stale(hook)
    if captured.mode is CaptureMode.RECORDED:
        raise other_path("the model's own output differs")
    if captured.draws:
        raise CaptureError(
            "the model's random draws cannot be reproduced, and so the captured graph cannot be"
            f" proved: the model draws in {describe_draws(captured.draws)}"
            f"{_differences(captured, outputs, own)}. Draw outside of the model and give it the"
            " numbers as an input, or switch the noise off."
        )
    if captured.taken_apart:
        raise CaptureError(
            f"{', '.join(captured.taken_apart)} was decomposed, and the decomposition does not"
            " reproduce the model's output. Add an op record (CONTRIBUTING.md shows how)."
        )
    if 1 in captured.shapes.sizes(leaves).values():
        raise InputError(
            "the model treats a size of 1 differently from larger ones, which a capture with free"
            " sizes does not know: capture with Engine(..., dynamic=False) at this size. Or it"
            f" computes otherwise while it is traced. {_TRACED_OTHERWISE}"
        )
    raise CaptureError(
        "the captured graph does not compute what the model computes on these inputs"
        f"{_differences(captured, outputs, own)}. Does its code read something that changes: a"
        " global variable, a closure, Python's or numpy's random numbers? Then make an Engine for"
        " each state of it. Does it compute otherwise while it is traced?"
        f" {_TRACED_OTHERWISE} Otherwise, try Engine(..., dynamic=False)."
    )


def _differences(captured: Captured, outputs: Sequence[Any], own: Sequence[Any]) -> str:
    """Return the outputs that differ and by how much, as the end of a clause."""
    found = [
        f"output {port.name!r} differs by up to {_distance(mine, theirs)}"
        for port in captured.outputs[: len(own)]
        if not agree(mine := outputs[port.position], theirs := own[port.position])
    ]
    return f" ({', '.join(found)})" if found else ""


def _distance(mine: Tensor, theirs: Tensor) -> str:
    if mine.shape != theirs.shape:
        return f"its shape, {tuple(mine.shape)} for {tuple(theirs.shape)}"
    if mine.dtype != theirs.dtype:
        return f"its dtype, {mine.dtype} for {theirs.dtype}"
    wide = torch.promote_types(mine.dtype, torch.float64)
    return f"{float((mine.to(wide) - theirs.to(wide)).abs().max()):.3g}"


def agree(mine: Any, theirs: Any, slack: float = 0.0) -> bool:
    """Compare two outputs up to what another choice of kernel may change.

    `slack`: how far they may be apart, relative to the largest entry; 64 roundings at least.
    """
    if not isinstance(mine, Tensor):
        return True
    if (mine.shape, mine.dtype) != (theirs.shape, theirs.dtype):
        return False
    if mine.dtype.is_complex:
        a, b = (torch.view_as_real(x.resolve_conj()) for x in (mine, theirs))
        return agree(a, b, slack)
    if not mine.dtype.is_floating_point:
        return torch.equal(mine, theirs)
    slack = max(slack, 64 * torch.finfo(mine.dtype).eps)
    room = slack * max(map(largest_finite, split_flat(theirs)), default=0.0)
    return all(
        torch.allclose(a, b, rtol=slack, atol=room, equal_nan=True)
        for a, b in zip(split_flat(mine), split_flat(theirs), strict=True)
    )
