"""Ask whether results are finite without stopping an accelerator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NoReturn

import torch
from torch import Tensor

from ..errors import NotFiniteError, TargetError
from ..propagate.ledger import Ledger

ADVICE = (
    "Look at what this op divides by and at its dtype. A stabilised rule (a larger epsilon), a"
    " preset that stops this op, or a wider dtype keeps its relevance finite; where the model"
    " itself takes the logarithm or the root of 0, clamp the operand in the model"
)


class Answer:
    """The answer whether tensors are finite; a GPU gives it while it works on what follows."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self._tensors = tuple(tensor.detach() for tensor in tensors)
        self._arrived: torch.Event | None = None
        sums = [_sum_of(tensor) for tensor in self._tensors]
        first = sums[0].device
        answer = torch.isfinite(torch.stack([s.to(first, non_blocking=True) for s in sums])).all()
        self._here = answer
        if first.type == "cuda":
            self._here = torch.empty((), dtype=torch.bool, pin_memory=True)
            self._here.copy_(answer, non_blocking=True)
            self._arrived = torch.Event("cuda")
            self._arrived.record(torch.cuda.current_stream(first))

    @property
    def is_here(self) -> bool:
        """True if reading the answer waits for nothing."""
        return self._arrived is None

    def read(self) -> bool:
        """Wait for the answer."""
        if self._arrived is not None:
            self._arrived.synchronize()
        # A sum of finite entries may overflow: look again.
        return bool(self._here) or all(bool(torch.isfinite(t).all()) for t in self._tensors)


def _sum_of(tensor: Tensor) -> Tensor:
    """Return the sum in at least float32: not finite if an entry is not. One pass over memory."""
    return tensor.sum(dtype=torch.promote_types(tensor.dtype, torch.float32)).double()


def ask_if_finite(explained: Tensor) -> Callable[[], None]:
    """Ask whether explained numbers are finite.

    Returns:
        A function that waits for the answer and raises TargetError if one is not finite.
    """
    answer = Answer([explained])

    def read() -> None:
        if not answer.read():
            raise TargetError(f"the explained output is not finite: {explained.tolist()}")

    return read


class Finite:
    """The promise that results are finite; without an accelerator it is kept at once.

    Args:
        results: Relevance and coefficients at all sources.
        blame: Raises NotFiniteError with the op where it began.
    """

    def __init__(self, results: Sequence[Tensor], blame: Callable[[], NoReturn]) -> None:
        self._answer: Answer | None = Answer(results)
        self._blame = blame
        if self._answer.is_here:
            self()

    def __call__(self) -> None:
        """Raise NotFiniteError if a result is infinite or undefined; wait for a GPU's answer."""
        if self._answer is not None and not self._answer.read():
            self._blame()
        self._answer, self._blame = None, blame_nobody

    def __reduce__(self) -> tuple[Callable[[], None], tuple[()]]:
        """Look before results are copied or leave the process; what arrives there is finite."""
        self()
        return (_found_finite, ())


def _found_finite() -> None:
    """Stand for a promise that was kept before it was pickled."""


def require_finite(ledger: Ledger) -> None:
    """Raise NotFiniteError if an account is not finite; name the first one from the output."""
    account = ledger.find_nonfinite()
    if account is not None:
        raise NotFiniteError(
            "relevance is not finite. In the order of the backward pass it began at"
            f" {account.name()}: received {account.received:.6g}, passed on {account.passed:.6g}."
            f" {ADVICE}",
            account.node,
        )


def blame_nobody() -> NoReturn:
    """Raise NotFiniteError where nothing is left that could name the op."""
    raise NotFiniteError(
        "relevance is not finite, and these programs hold no ledger that could name the op: explain"
        " the same inputs with Engine, which names it and says what to do"
    )
