"""One row per op: how it is called, on which values, and with which options and weights.

A value is a tensor whose first axis is the batch. A row never mixes samples, so that every sample's
explanation can be compared with that of the sample alone.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from hypothesis import strategies as st
from torch import Tensor

Shape = tuple[int, ...]
FLOAT, IDS, MASK = "f", "i", "b"  # the letters of `Row.operands`

Options = Mapping[str, st.SearchStrategy]
Run = Callable[..., Tensor]
Weights = Callable[..., Sequence[Shape]]
Fits = Callable[..., bool]

axes = st.integers(0, 2)  # turned into an axis of the value by `axis_of`


def always(*_operands: Tensor, **_options: object) -> bool:
    return True


def no_weights(*_operands: Tensor, **_options: object) -> Sequence[Shape]:
    return ()


@dataclass(frozen=True)
class Row:
    """An op of the generator.

    `run(*operands, *weights, **options)` is traced; `fits(*operands, **options)` says whether it
    may be called on these values; `weights(*operands, **options)` gives the shapes of its weights.
    """

    name: str
    run: Run
    operands: str = FLOAT
    fits: Fits = always
    weights: Weights = no_weights
    options: Options = field(default_factory=dict)
    draws: bool = False  # random numbers
    looks_up: bool = False  # rows of a table by integers
    coarse: bool = False  # rounds to single precision on the way
    derivable: bool = True  # autograd sees all that it does
    reordered: bool = False  # torch exports it as other ops, which may round otherwise

    def __str__(self) -> str:
        return self.name


def axis_of(x: Tensor, axis: int) -> int:
    """An axis of x other than the batch, whatever number was drawn."""
    return 1 + axis % (x.dim() - 1)


def has_dim(*dims: int) -> Fits:
    """The first operand has one of these numbers of axes, the batch included."""
    return lambda *operands, **_options: operands[0].dim() in dims


def at_least(dims: int) -> Fits:
    """The first operand has this many axes or more, the batch included."""
    return lambda *operands, **_options: operands[0].dim() >= dims


def same_shape(*operands: Tensor, **_options: object) -> bool:
    return all(operand.shape == operands[0].shape for operand in operands)


def broadcasts(*operands: Tensor, **_options: object) -> bool:
    """All can be broadcast with the batch as the first axis of each."""
    if len({operand.dim() for operand in operands}) > 1:
        return False
    try:
        torch.broadcast_shapes(*(operand.shape for operand in operands))
    except RuntimeError:
        return False
    return True


def both(*checks: Fits) -> Fits:
    return lambda *operands, **options: all(check(*operands, **options) for check in checks)


def bounded(low: int, high: int) -> Fits:
    """The integers of the first operand lie in [low, high)."""

    def fits(ids: Tensor, *_others: Tensor, **_options: object) -> bool:
        return bool((ids >= low).all() and (ids < high).all())

    return fits


def table(rows: Mapping[str, Run], **shared: object) -> list[Row]:
    """Rows that differ in what is called alone."""
    return [Row(name, run, **shared) for name, run in rows.items()]  # type: ignore[arg-type]
