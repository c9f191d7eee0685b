"""Convert between coefficients and relevance: R = c * a is written here and nowhere else."""

from __future__ import annotations

import torch
from torch import Tensor

from .call import Call, Form, OpT

# Smaller activations are taken for zero: relevance divided by them would be noise.
_TINY = {torch.float64: 1e-24}


def relevance_of(c: Tensor, a: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Return R = c * a, with R = 0 where c = 0 even if a is infinite.

    Args:
        c: Coefficients, of the shape of `a`.
        a: Activations.
        dtype: Of the result; default: the wider of both dtypes, at least float32.

    Returns:
        Relevance of the shape of `a`, in the unit of the explained number.
    """
    wide = dtype or torch.promote_types(torch.promote_types(c.dtype, a.dtype), torch.float32)
    return (c.to(wide) * a.to(wide)).masked_fill(c == 0, 0.0)


def to_relevance(c: Tensor, a: Tensor) -> Tensor:
    """Return R = c * a in the dtype in which coefficients travel."""
    return relevance_of(c, a, torch.promote_types(c.dtype, a.dtype))


def to_coefficient(relevance: Tensor, a: Tensor) -> Tensor:
    """Return c = R / a, and 0 where a is zero: the ledger books the relevance lost there."""
    wide = torch.promote_types(a.dtype, torch.float32)
    tiny = a.abs() <= _TINY.get(a.dtype, 1e-12)
    c = relevance.to(wide) / a.to(wide).masked_fill(tiny, 1.0)
    return c.masked_fill(tiny, 0.0).to(a.dtype)


def widen(relevance: Tensor) -> Tensor:
    """Return R in at least float32."""
    return relevance.to(torch.promote_types(relevance.dtype, torch.float32))


def sum_in_double(x: Tensor) -> Tensor:
    """Return the sum in double precision, row by row: converting every entry would cost more."""
    return (x.sum(-1) if x.dim() > 1 else x).sum(dtype=torch.float64)


def to_operand(call: Call[OpT], relevance: Tensor) -> Tensor:
    """Return R at the one live operand, summed where the op repeats its entries."""
    shape = call.operand(call.live[0]).shape
    return relevance if relevance.shape == shape else relevance.sum_to_size(shape)


def sum_relevance(c: Tensor, a: Tensor) -> Tensor:
    """Return the sum of R = c * a in double precision."""
    return sum_in_double(relevance_of(c, a))


def flow_sum(call: Call[OpT], flow: Tensor, a: Tensor) -> Tensor:
    """Return the relevance in a flow at a value `a`, whichever form arrived at this call."""
    return sum_relevance(flow, a if call.form is Form.COEFFICIENT else torch.ones_like(a))


def stabilise(z: Tensor, epsilon: float) -> Tensor:
    """Return z + epsilon * sign(z), with sign(0) = 1."""
    return torch.where(z < 0, z - epsilon, z + epsilon)
