"""Compute the passage through a norm in two runs in one Triton kernel, a row at a time."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from .has_triton import running_on


@triton.jit  # type: ignore[untyped-decorator]
def _entries(x, inside, n, eps, CENTRED: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return the entries, centred, and one over the root of their mean square."""
    if CENTRED:
        x = tl.where(inside, x - tl.sum(x, 0) / n, 0.0)
    return x, 1.0 / tl.sqrt(tl.sum(x * x, 0) / n + eps)


@triton.jit  # type: ignore[untyped-decorator]
def _kernel(  # type: ignore[no-untyped-def]
    c, b, a, weight, result, rows, n, eps,
    WEIGHTED: tl.constexpr, CENTRED: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Pass one row of c through the row of the runs that it belongs to."""
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, BLOCK)
    inside = column < n
    at, own = (row % rows) * n + column, row * n + column
    u_b, r_b = _entries(
        tl.load(b + at, mask=inside, other=0.0).to(tl.float32), inside, n, eps, CENTRED
    )
    u_a, r_a = _entries(
        tl.load(a + at, mask=inside, other=0.0).to(tl.float32), inside, n, eps, CENTRED
    )
    g = tl.load(c + own, mask=inside, other=0.0).to(tl.float32)
    if WEIGHTED:
        g *= tl.load(weight + column, mask=inside, other=0.0).to(tl.float32)
    u, r = (u_b + u_a) * 0.5, (r_b + r_a) * 0.5
    k = 2.0 * (r_a * r_b) * (r_a * r_b) / (r_a + r_b)
    back = r * g - k * u * (tl.sum(u * g, 0) / n)
    if CENTRED:
        back -= tl.sum(tl.where(inside, back, 0.0), 0) / n
    tl.store(result + own, back, mask=inside)


def run_kernel(
    c: Tensor, b: Tensor, a: Tensor, weight: Tensor | None, eps: float, centred: bool
) -> Tensor:
    """Compute it on a GPU, for contiguous rows in single or half precision."""
    result = torch.empty_like(c)
    n = c.shape[-1]
    block = triton.next_power_of_2(n)
    if len(c):
        with running_on(c.device):
            _kernel[(len(c),)](
                c, b, a, c if weight is None else weight.contiguous(), result, len(b), n, eps,
                weight is not None, centred, block, num_warps=4 if block <= 2048 else 8,
            )  # fmt: skip
    return result
