"""Integrate an op's own gradient along the straight line between the runs."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from lrp_engine.method.call import Arriving, Call, OpT
from lrp_engine.rules.two_runs.runs import at

# Enough for single precision on smooth ops; what is left is booked.
POINTS = 16


def integrate(call: Call[OpT], c: Arriving, points: int = POINTS) -> tuple[Tensor, ...]:
    """Return the mean gradient on the way from a to b: exact for polynomials of degree 2 points.

    Gauss-Legendre quadrature of the integrated gradients of this one op (its own operands go
    straight from a to b).
    """
    places, weights = np.polynomial.legendre.leggauss(points)
    total: tuple[Tensor, ...] = ()
    for place, weight in zip((places + 1) / 2, weights / 2, strict=True):
        part = tuple(float(weight) * g for g in at(call, float(place)).vjp(c))
        total = tuple(t + p for t, p in zip(total, part, strict=True)) if total else part
    return total
