"""Tell the sign of constants: an exponent above zero makes an activation, below zero a scale."""

from __future__ import annotations

from enum import Enum

from torch import Tensor, fx
from torch._subclasses import FakeTensor

# On a node of a constant: the sign that its entries had when that was decided.
SIGN = "sign"


class Sign(Enum):
    """The sign that all entries of a tensor have."""

    ABOVE = "above zero"
    BELOW = "below zero"


def sign_of(argument: object) -> Sign | None:
    """Return the sign of a number, of a tensor's entries, or of a node that is known to have one.

    None if the entries differ in sign, one of them is zero, or they are not known.
    """
    if isinstance(argument, fx.Node):
        known: Sign | None = argument.meta.get(SIGN)
        return known
    if isinstance(argument, FakeTensor) or not isinstance(argument, (Tensor, int, float)):
        return None
    if isinstance(argument, (int, float)):
        above, below = argument > 0, argument < 0
    elif argument.is_meta or argument.dtype.is_complex:
        return None
    else:
        above, below = bool((argument > 0).all()), bool((argument < 0).all())
    return Sign.ABOVE if above else Sign.BELOW if below else None
