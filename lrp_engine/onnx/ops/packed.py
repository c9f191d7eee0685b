"""Weights of a few bits, packed into bytes: dequantised where they are used."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..op_table import op
from ..unsupported import Refused
from .quantised import MICROSOFT


def unpack(codes: Tensor, bits: int) -> Tensor:
    """Return the codes in each byte of the last axis, lowest bits first, as int32."""
    if bits not in (2, 4, 8):
        raise Refused(f"{bits} bits per weight are not supported")
    shifts = torch.arange(0, 8, bits, dtype=torch.int32, device=codes.device)
    parts = torch.bitwise_right_shift(codes.to(torch.int32).unsqueeze(-1), shifts)
    return torch.bitwise_and(parts, (1 << bits) - 1).flatten(-2)


@op("MatMulNBits", domain=MICROSOFT)
def matmul_n_bits(
    a: Tensor,
    b: Tensor,
    scales: Tensor,
    zero_points: Tensor | None = None,
    g_idx: Tensor | None = None,
    bias: Tensor | None = None,
    *,
    K: int,
    N: int,
    bits: int = 4,
    block_size: int,
    accuracy_level: int = 0,
    weight_prepacked: int = 0,
) -> Tensor:
    """Multiply by a weight (N, K) that is packed in blocks along K, each with its own scale."""
    if g_idx is not None or weight_prepacked:
        raise Refused("weights that are sorted by g_idx, or packed for one processor")
    blocks = -(-K // block_size)
    codes = unpack(b.reshape(N, blocks, -1), bits).to(a.dtype)
    scale = scales.reshape(N, blocks, 1)
    weight = ((codes - _zeros(zero_points, N, blocks, bits, a.dtype)) * scale).flatten(1)[:, :K]
    return F.linear(a, weight, bias)


def _zeros(
    zero_points: Tensor | None, rows: int, blocks: int, bits: int, dtype: torch.dtype
) -> Tensor | float:
    """Return zero points (rows, blocks, 1): packed like the weights, or numbers, or the middle."""
    if zero_points is None:
        return float(1 << (bits - 1))
    if zero_points.is_floating_point():
        return zero_points.reshape(rows, blocks, 1)
    packed = zero_points.reshape(rows, -1)
    return unpack(packed, bits)[:, :blocks].unsqueeze(-1).to(dtype)
