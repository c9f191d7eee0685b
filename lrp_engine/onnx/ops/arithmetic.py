"""Arithmetic of two or more tensors entry by entry, with broadcasting; also of known values."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..op_table import (
    OpEntry,
    host,
    make_entry,
    op,
)
from ..unsupported import Refused
from ..values import (
    HostArray,
    OnnxValue,
    as_number,
    as_tensor,
)


def _div(a: Tensor, b: Tensor) -> Tensor:
    whole = not (a.is_floating_point() or a.is_complex())
    return torch.div(a, b, rounding_mode="trunc") if whole else torch.div(a, b)


def _wide(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """Compute unsigned integers in 64 bits, because torch lacks most ops on them."""

    def apply(a: Tensor, b: Tensor) -> Tensor:
        if a.dtype not in (torch.uint16, torch.uint32):
            return function(a, b)
        z = function(a.long(), b.long())
        return z if z.dtype == torch.bool else z.to(a.dtype)

    return apply


_BINARY: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "Add": torch.add,
    "Sub": torch.sub,
    "Mul": torch.mul,
    "Div": _div,
    "And": torch.logical_and,
    "Or": torch.logical_or,
    "Xor": torch.logical_xor,
    "Equal": torch.eq,
    "Less": torch.lt,
    "Greater": torch.gt,
    "LessOrEqual": torch.le,
    "GreaterOrEqual": torch.ge,
    "BitwiseAnd": torch.bitwise_and,
    "BitwiseOr": torch.bitwise_or,
    "BitwiseXor": torch.bitwise_xor,
}


def _binary(name: str, function: Callable[[Tensor, Tensor], Tensor]) -> tuple[OpEntry, OpEntry]:
    wide = _wide(function)

    def apply(a: Tensor, b: Tensor) -> Tensor:
        return wide(a, b)

    def aligned(a: Tensor, b: Tensor, *, axis: int | None = None, broadcast: int = 0) -> Tensor:
        return wide(a, _at_axis(b, a, axis) if broadcast else b)

    return make_entry(name, apply, since=7), make_entry(name, aligned)


@op("BitShift", since=11)
def shift_bits(x: Tensor, by: Tensor, *, direction: str) -> Tensor:
    """Shift the bits of integers."""
    left = direction == "LEFT"
    return _wide(torch.bitwise_left_shift if left else torch.bitwise_right_shift)(x, by)


def _at_axis(b: Tensor, a: Tensor, axis: int | None) -> Tensor:
    """Place b's axes among those of a, as `axis` says before opset 7."""
    if axis is None or b.dim() == 0:
        return b
    axis = axis + a.dim() if axis < 0 else axis
    return b.reshape(*b.shape, *(1,) * (a.dim() - axis - b.dim()))


BINARY = tuple(entry for name, f in _BINARY.items() for entry in _binary(name, f))


@op("Pow")
def power(a: OnnxValue, b: OnnxValue, *, axis: int | None = None, broadcast: int = 0) -> Tensor:
    """Raise a to the power b, in the type of a; a known exponent or base stays a number."""
    if (
        isinstance(b, HostArray)
        and b.concrete
        and b.array.size == 1
        and not isinstance(a, HostArray)
    ):
        return _power_by_number(as_tensor(a), as_number(b), b.array.shape)
    base, exponent = as_tensor(a), as_tensor(b)
    if isinstance(a, HostArray) and a.concrete and a.array.shape == () and base.is_floating_point():
        return torch.pow(as_number(a), exponent).to(base.dtype)
    exponent = _at_axis(exponent, base, axis) if broadcast else exponent
    return torch.pow(base, exponent).to(base.dtype)


def _power_by_number(base: Tensor, exponent: float, shape: tuple[int, ...]) -> Tensor:
    shape = torch.broadcast_shapes(base.shape, shape)  # type: ignore[no-untyped-call]
    whole = base.is_floating_point() and float(exponent).is_integer()
    return torch.pow(base, int(exponent) if whole else exponent).to(base.dtype).expand(shape)


@op("Mod", since=10)
def mod(a: Tensor, b: Tensor, *, fmod: int = 0) -> Tensor:
    """Return the remainder with the sign of b, or of a if `fmod`."""
    return _wide(torch.fmod if fmod else torch.remainder)(a, b)


@op("Where", since=9)
def where(condition: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Choose from a where the condition holds, else from b."""
    return torch.where(condition, a, b)


@op("Max")
def maximum(*xs: Tensor) -> Tensor:
    """Return the largest of the operands, entry by entry."""
    return reduce(_wide(torch.maximum), xs)


@op("Min")
def minimum(*xs: Tensor) -> Tensor:
    """Return the smallest of the operands, entry by entry."""
    return reduce(_wide(torch.minimum), xs)


@op("Sum")
def total(*xs: Tensor) -> Tensor:
    """Add the operands."""
    return reduce(torch.add, xs)


@op("Mean")
def mean(*xs: Tensor) -> Tensor:
    """Average the operands."""
    return reduce(torch.add, xs) / len(xs)


def _whole_div(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Divide whole numbers; sizes are not negative, so that truncation is rounding down."""
    if a.dtype == object or b.dtype == object:
        floor: np.ndarray = np.floor_divide(a, b)
        return floor
    exact = np.abs(a).max(initial=0) < 2**52
    quotient: np.ndarray = np.trunc(np.divide(a, b)) if exact else a // b
    return quotient


@host("Div")
def div_known(a: HostArray, b: HostArray) -> np.ndarray:
    """Divide known arrays; whole numbers stay whole."""
    if a.dtype.is_floating_point:
        quotient: np.ndarray = np.true_divide(a.array, b.array)
        return quotient
    return _whole_div(a.array, b.array)


@host("Mod", since=10)
def mod_known(a: HostArray, b: HostArray, *, fmod: int = 0) -> np.ndarray:
    """Return the remainder of known arrays."""
    rest: np.ndarray = (np.fmod if fmod else np.mod)(a.array, b.array)
    return rest


_KNOWN: dict[str, Callable[..., np.ndarray]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Max": np.frompyfunc(torch.sym_max, 2, 1),
    "Min": np.frompyfunc(torch.sym_min, 2, 1),
}
# Of two numbers or symbolic sizes.
Compare = Callable[[Any, Any], bool]

_COMPARED: dict[str, Compare] = {
    "Equal": lambda a, b: a == b,
    "Less": lambda a, b: a < b,
    "Greater": lambda a, b: a > b,
    "LessOrEqual": lambda a, b: a <= b,
    "GreaterOrEqual": lambda a, b: a >= b,
    "And": lambda a, b: bool(a) and bool(b),
    "Or": lambda a, b: bool(a) or bool(b),
    "Xor": lambda a, b: bool(a) != bool(b),
}


def _many(name: str, function: Callable[..., np.ndarray]) -> OpEntry:
    def apply(*xs: HostArray) -> np.ndarray:
        return reduce(function, [x.array for x in xs])

    return make_entry(name, apply, since=7, on_host=True)


def _compared(name: str, function: Compare) -> OpEntry:
    truth = np.frompyfunc(lambda a, b: bool(function(a, b)), 2, 1)

    def apply(a: HostArray, b: HostArray) -> HostArray:
        return HostArray.of(np.asarray(truth(a.array, b.array)), torch.bool)

    return make_entry(name, apply, since=7, on_host=True)


KNOWN = tuple(_many(name, f) for name, f in _KNOWN.items())
COMPARED = tuple(_compared(name, f) for name, f in _COMPARED.items())


@host("Not")
def not_known(x: HostArray) -> HostArray:
    """Negate known truth values."""
    return HostArray.of(np.logical_not(x.array.astype(bool)), torch.bool)


@host("Neg")
def neg_known(x: HostArray) -> np.ndarray:
    """Negate a known array."""
    negated: np.ndarray = np.negative(x.array)
    return negated


@host("Where", since=9)
def where_known(condition: HostArray, a: HostArray, b: HostArray) -> HostArray:
    """Choose between known arrays. Raises Refused if the condition is not a number."""
    if not condition.concrete:
        raise Refused("a condition depends on data")
    return HostArray.of(np.where(condition.array.astype(bool), a.array, b.array), a.dtype)


def _unary_known(name: str, function: Callable[[np.ndarray], np.ndarray]) -> OpEntry:
    def apply(x: HostArray) -> object:
        return function(x.array) if x.concrete else NotImplemented

    return make_entry(name, apply, on_host=True)


UNARY_KNOWN = tuple(
    _unary_known(name, function)
    for name, function in {
        "Abs": np.abs,
        "Ceil": np.ceil,
        "Floor": np.floor,
        "Reciprocal": np.reciprocal,
        "Sqrt": np.sqrt,
    }.items()
)
