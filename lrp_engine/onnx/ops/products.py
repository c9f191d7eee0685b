"""Matrix products and convolutions."""

from __future__ import annotations

import torch
from torch import Tensor

from ..table import op


@op("MatMul")
def matmul(a: Tensor, b: Tensor) -> Tensor:
    return torch.matmul(a, b)


@op("Gemm", since=7)
def gemm(
    a: Tensor,
    b: Tensor,
    c: Tensor | None = None,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: int = 0,
    transB: int = 0,
) -> Tensor:
    """alpha A B + beta C, as linear where that is what it is."""
    a = a.t() if transA else a
    whole = alpha == beta == 1 and (c is None or c.dim() == 1)
    if whole:
        return torch.nn.functional.linear(a, b if transB else b.t(), c)
    z = torch.matmul(a, b.t() if transB else b)
    z = z if alpha == 1 else z * alpha
    return z if c is None else z + (c if beta == 1 else c * beta)
