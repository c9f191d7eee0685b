"""Tell what the functions of records and rules are called with."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator

from .op import Homogeneous, Linear, Normalisation, Op, Pointwise, WeightedSum

# By class and field: the number of positional arguments. Fields of the base class hold for all.
_POSITIONAL: tuple[tuple[type[Op], dict[str, int]], ...] = (
    (Op, {"when": 2, "rowwise": 1, "never_negative": 2, "positive": 2, "regular": 2}),
    (Linear, {"adjoint": 2}),
    (WeightedSum, {"adjoint": 3}),
    (Homogeneous, {"degree": 1}),
    (Normalisation, {"frozen": 2}),
)
# Functions of the operand, which are given the op's other arguments by name.
_OF_OPERAND = {"ratio": 1, "passes": 2, "slope": 1, "flat_at": 1}


def functions_of(op: Op, known: Iterable[str]) -> Iterator[tuple[str, int, tuple[str, ...]]]:
    """Yield (field, number of positional arguments, names of the others) of an op's functions.

    `known`: the names of the arguments of the op's schema.
    """
    for kind, fields in _POSITIONAL:
        if isinstance(op, kind):
            yield from ((f, n, ()) for f, n in fields.items() if callable(getattr(op, f, None)))
    if isinstance(op, Pointwise) and len(op.operands) == 1:
        others = tuple(name for name in known if name not in op.operands)
        for field, count in _OF_OPERAND.items():
            if callable(getattr(op, field, None)):
                yield field, count, others


def accepts(function: Callable[..., object], positional: int, named: Iterable[str] = ()) -> bool:
    """Return whether a function can be called with so many arguments, and these by name.

    Example:
        >>> accepts(lambda x, y: x, 2), accepts(lambda x: x, 2), accepts(lambda x, *, k: x, 1, "k")
        (True, False, True)
    """
    try:
        signature = inspect.signature(function)
    except ValueError:  # a function of C says nothing of its arguments
        return True
    try:
        signature.bind(*range(positional), **dict.fromkeys(named))
    except TypeError:
        return False
    return True
