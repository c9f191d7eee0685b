"""Compute secants (f(b) - f(a)) / (b - a) by closed forms in which nothing cancels, in plain torch.

These are the definitions; `secants_triton.py` has the same forms. Where b = a they are f'(a).
Operands are in single or double precision, of one shape.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

# tanh approximation of GELU: x sigmoid(2 K (x + C x^3))
_K, _C = math.sqrt(2 / math.pi), 0.044715


def falling_share(x: Tensor) -> Tensor:
    """Return (1 - e^-x) / x for x >= 0: the mean of e^-t between 0 and x."""
    at_zero = x == 0
    return torch.where(at_zero, 1.0, -torch.expm1(-x) / x.masked_fill(at_zero, 1.0))


def gap(b: Tensor, a: Tensor) -> Tensor:
    """Return |b - a|, 0 where both are infinite alike."""
    return torch.where(b == a, 0.0, (b - a).abs())


def sigmoid(b: Tensor, a: Tensor) -> Tensor:
    """Return the secant of sigmoid.

    With s for sigmoid: s(high) s(-low) (1 - e^(low - high)) / (high - low).
    """
    ends = torch.sigmoid(torch.maximum(a, b)) * torch.sigmoid(-torch.minimum(a, b))
    return ends * falling_share(gap(b, a))


def tanh(b: Tensor, a: Tensor) -> Tensor:
    """Return the secant of tanh: tanh x = 2 sigmoid 2x - 1."""
    return 4 * sigmoid(2 * b, 2 * a)


def exp(b: Tensor, a: Tensor) -> Tensor:
    """Return the secant of e^x: e^high (1 - e^(low - high)) / (high - low)."""
    return torch.exp(torch.maximum(a, b)) * falling_share(gap(b, a))


def silu(b: Tensor, a: Tensor) -> Tensor:
    """Return the secant of x sigmoid(x): each factor's change times the other's mean."""
    return (torch.sigmoid(a) + torch.sigmoid(b)) / 2 + (a + b) / 2 * sigmoid(b, a)


def gelu_tanh(b: Tensor, a: Tensor) -> Tensor:
    """Return the secant of x sigmoid(u(x)), with u(x) = 2K (x + C x^3)."""
    u_b, u_a = (2 * _K * (x + _C * x * x * x) for x in (b, a))
    rise = 2 * _K * (1 + _C * cube(b, a))
    return (torch.sigmoid(u_a) + torch.sigmoid(u_b)) / 2 + (a + b) / 2 * sigmoid(u_b, u_a) * rise


def gelu(b: Tensor, a: Tensor) -> Tensor:
    """Return the secant of x Phi(x), with Phi(x) = erfc(-x / sqrt 2) / 2."""
    phi_b, phi_a = _phi(b), _phi(a)
    return (phi_b + phi_a) / 2 + (a + b) / 2 * _normal(b, a, phi_b, phi_a)


def _phi(x: Tensor) -> Tensor:
    twice: Tensor = torch.special.erfc(x * -math.sqrt(0.5))
    return twice / 2


def _normal(b: Tensor, a: Tensor, phi_b: Tensor, phi_a: Tensor) -> Tensor:
    """Return the mean of the normal density between a and b: by its series where they are near."""
    near = 0.02 if b.dtype == torch.float64 else 0.3
    step, square = b - a, ((a + b) / 2).square()
    h = (step / 2).square()
    hermite = (
        square - 1,
        square * (square - 6) + 3,
        square * (square * (square - 15) + 45) - 15,
    )
    series = 1 + h / 6 * (hermite[0] + h / 20 * (hermite[1] + h / 42 * hermite[2]))
    close = series * torch.exp(-square / 2) * (1 / math.sqrt(2 * math.pi))
    is_near = step.abs() < near
    return torch.where(is_near, close, (phi_b - phi_a) / step.masked_fill(is_near, 1.0))


def cube(b: Tensor, a: Tensor) -> Tensor:
    """Return the secant of x^3: a^2 + a b + b^2."""
    both = a + b
    return both * both - a * b


def square(b: Tensor, a: Tensor) -> Tensor:
    """Return the secant of x^2."""
    return a + b


def relu(b: Tensor, a: Tensor) -> Tensor:
    """Return the share of the way from a to b that is above zero."""
    high, low = torch.maximum(a, b), torch.minimum(a, b)
    crosses = (high > 0) & (low < 0)
    part = high / (high - low).masked_fill(~crosses, 1.0)
    return torch.where(crosses, part, (high > 0).to(b.dtype))
