"""Note where a model's gradient is not that of what it computes: own backward passes, no_grad.

The captured graph has only the forward ops. Rules are derived from these, so relevance is right,
but the preset `gradient` then differs from the model's autograd.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Any
from unittest import mock

import torch
from torch.utils import _contextlib

from ..boundary.user_code import is_users
from ..method.functions import is_traced, record_of
from ..method.op import Op

_INTERNAL = (str(Path(torch.__file__).parent), str(Path(__file__).parents[1]))


@dataclass
class OwnDerivatives:
    """Hold what was met: notes for the user, and the records of declared functions."""

    notes: list[str] = field(default_factory=list)
    records: list[Op] = field(default_factory=list)


@contextmanager
def note_own_derivatives() -> Iterator[OwnDerivatives]:
    """Yield what fills with a note for each function and region that the code inside uses.

    A function with a declared record is called as one op. The caller holds the lock around tracing:
    classes of torch are replaced meanwhile.
    """
    found = OwnDerivatives()
    notes = found.notes
    apply, enter = torch.autograd.Function.__dict__["apply"].__func__, torch.no_grad.__enter__

    def watched_apply(cls: Any, *args: Any, **kwargs: Any) -> Any:
        record = record_of(cls)
        if record is not None:
            if record not in found.records:
                found.records.append(record)
            return record.target(*args, **kwargs)  # type: ignore[operator]
        if not cls.__module__.startswith("torch.") and not is_traced(cls):
            _add(notes, f"{cls.__qualname__} has a backward pass of its own, which is not used:"
                        " rules see the ops of its forward pass")  # fmt: skip
        return apply(cls, *args, **kwargs)

    def watched_enter(region: torch.no_grad) -> None:
        place = _outside(sys._getframe(1))
        if place:
            _add(notes, f"computed under torch.no_grad() at {place}: a gradient stops there,"
                        " and relevance passes it under every preset")  # fmt: skip
        enter(region)

    with (
        mock.patch.object(torch.autograd.Function, "apply", classmethod(watched_apply)),
        mock.patch.object(torch.no_grad, "__enter__", watched_enter),
    ):
        yield found


def _outside(frame: FrameType) -> str:
    """Return file:line of code that is neither torch's nor the engine's; empty for theirs.

    Of a decorated function, it is the function's own; those of installed packages are not named:
    transformers decorates what computes angles of positions, which carry no relevance.
    """
    if frame.f_code.co_filename == _contextlib.__file__:
        code = getattr(frame.f_locals.get("func"), "__code__", None)
        if not isinstance(code, CodeType) or not is_users(code.co_filename):
            return ""
        return f"{code.co_filename}:{code.co_firstlineno}"
    while frame.f_code.co_filename == contextlib.__file__ and frame.f_back:
        frame = frame.f_back  # an ExitStack enters for whoever fills it
    file = frame.f_code.co_filename
    return "" if file.startswith(_INTERNAL) else f"{file}:{frame.f_lineno}"


def _add(notes: list[str], note: str) -> None:
    if note not in notes:
        notes.append(note)
