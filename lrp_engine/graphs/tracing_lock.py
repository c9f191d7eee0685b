"""Let one thread trace at a time: torch's tracing changes state that all threads share.

`torch.export`, `make_fx`, `torch.library`'s kernels for fake tensors, the shape environment, the
filters of warnings and standard error are such state. Whatever captures, traces or writes programs
does so inside `one_at_a_time`; running the programs needs no lock.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import wraps
from typing import Any, Generic, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

# One for the process, as what it guards is. A thread that has it may take it again.
TRACING = threading.RLock()


def one_at_a_time(function: Callable[P, T]) -> Callable[P, T]:
    """Make a function wait until no other thread traces."""

    @wraps(function)
    def alone(*args: P.args, **kwargs: P.kwargs) -> T:
        with TRACING:
            return function(*args, **kwargs)

    return alone


class once(Generic[T]):
    """A property that is computed at its first access, by one thread, and kept.

    Unlike `functools.cached_property`, no two threads compute it side by side.
    """

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self.compute = compute
        self.__doc__ = compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type | None = None) -> T:
        if instance is None:
            return self  # type: ignore[return-value]
        with TRACING:
            kept = instance.__dict__
            if self.name not in kept:
                kept[self.name] = self.compute(instance)
            found: T = kept[self.name]
            return found
