"""Compute attention's difference coefficients in two Triton kernels: no weights in memory.

The formulas are those of `rules/two_runs/attention_blocks.py`. Products take their operands in the
inputs' dtype (half precision: on tensor cores) and are summed in single precision, like the rest.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from .has_triton import running_on

_LOW: tl.constexpr = tl.constexpr(-1.0e30)  # a score that weighs nothing


class Blocks(NamedTuple):
    """Rows and columns of a block of scores, warps that compute it, and loads under way."""

    rows: int
    columns: int
    warps: int
    stages: int


def _blocks_for(dtype: torch.dtype, widest: int) -> Blocks:
    """Return what was fastest on an H200 for 64 features, and what fits for wider heads."""
    if dtype == torch.float32 and widest > 64:
        return Blocks(32, 32, 4, 1)
    return Blocks(64, 32, 4, 2)


@triton.jit  # type: ignore[untyped-decorator]
def _tile(at, row_stride, rows, count, WIDTH: tl.constexpr, PADDED: tl.constexpr):  # type: ignore[no-untyped-def]
    """Load rows of one head, 0 beyond the last row and the last feature."""
    column = tl.arange(0, PADDED)
    place = rows.to(tl.int64)[:, None] * row_stride + column[None, :]
    return tl.load(at + place, mask=(rows < count)[:, None] & (column < WIDTH)[None, :], other=0.0)


@triton.jit  # type: ignore[untyped-decorator]
def _dot(x, y, PRECISION: tl.constexpr):  # type: ignore[no-untyped-def]
    return tl.dot(x, y, input_precision=PRECISION)


@triton.jit
def _midpoint(b, a):  # type: ignore[no-untyped-def]
    return ((b.to(tl.float32) + a.to(tl.float32)) * 0.5).to(b.dtype)


@triton.jit  # type: ignore[untyped-decorator]
def _scores(  # type: ignore[no-untyped-def]
    q, k, rows, columns, row_count, column_count, scale, mask, mask_row, mask_column,
    MASKED: tl.constexpr, CAUSAL: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Return query key^T * scale, and which entries are looked at."""
    s = _dot(q, tl.trans(k), PRECISION) * scale
    inside = (rows < row_count)[:, None] & (columns < column_count)[None, :]
    looked_at = inside
    if CAUSAL:
        looked_at = looked_at & (rows[:, None] >= columns[None, :])
    if MASKED:
        place = rows.to(tl.int64)[:, None] * mask_row + columns.to(tl.int64)[None, :] * mask_column
        looked_at = looked_at & (tl.load(mask + place, mask=inside, other=0) != 0)
    return tl.where(looked_at, s, _LOW), looked_at


@triton.jit
def _logarithmic_mean(s_b, s_a, log_b, log_a, seen_b, seen_a):  # type: ignore[no-untyped-def]
    """Return both weights and (p_b - p_a) / (log p_b - log p_a), by the larger weight."""
    l_b, l_a = s_b - log_b[:, None], s_a - log_a[:, None]
    p_b = tl.where(seen_b, tl.exp(l_b), 0.0)
    p_a = tl.where(seen_a, tl.exp(l_a), 0.0)
    x = tl.abs(l_b - l_a)
    near = x < 0.25
    s = 1.0 - x / 6.0 * (1.0 - x / 7.0)
    s = 1.0 - x / 4.0 * (1.0 - x / 5.0 * s)
    s = 1.0 - x / 2.0 * (1.0 - x / 3.0 * s)
    mean = tl.where(near, tl.maximum(p_b, p_a) * s, tl.abs(p_b - p_a) / tl.where(near, 1.0, x))
    return p_b, p_a, tl.where(seen_b & seen_a, mean, 0.0)


@triton.jit  # type: ignore[untyped-decorator]
def _rows_kernel(  # type: ignore[no-untyped-def]
    c, q_b, k_b, v_b, q_a, k_a, v_a, mask_b, mask_a, at_query, logs,
    c_0, c_1, c_2, q_b0, q_b1, q_b2, k_b0, k_b1, k_b2, v_b0, v_b1, v_b2,
    q_a0, q_a1, q_a2, k_a0, k_a1, k_a2, v_a0, v_a1, v_a2,
    m_b0, m_b1, m_b2, m_b3, m_a0, m_a1, m_a2, m_a3,
    heads, samples, row_count, column_count, scale,
    WIDTH: tl.constexpr, PADDED: tl.constexpr, V_WIDTH: tl.constexpr, V_PADDED: tl.constexpr,
    MASKED: tl.constexpr, CAUSAL: tl.constexpr, PRECISION: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Compute the queries' coefficients, and for each row what the other kernel needs.

    `logs` holds for every row log-sum-exp of either run and the level, the mean of what arrives.
    """
    z = tl.program_id(1).to(tl.int64)
    outer, head = z // heads, z % heads
    n = outer % samples
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    mine = _tile(c + outer * c_0 + head * c_1, c_2, rows, row_count, V_WIDTH, V_PADDED)
    own_b = _tile(q_b + n * q_b0 + head * q_b1, q_b2, rows, row_count, WIDTH, PADDED)
    own_a = _tile(q_a + n * q_a0 + head * q_a1, q_a2, rows, row_count, WIDTH, PADDED)
    k_b += n * k_b0 + head * k_b1
    k_a += n * k_a0 + head * k_a1
    v_b += n * v_b0 + head * v_b1
    v_a += n * v_a0 + head * v_a1
    mask_b += n * m_b0 + head * m_b1
    mask_a += n * m_a0 + head * m_a1
    end = tl.minimum(column_count, (tl.program_id(0) + 1) * ROWS) if CAUSAL else column_count

    top_b = tl.full([ROWS], _LOW, tl.float32)
    top_a = tl.full([ROWS], _LOW, tl.float32)
    sum_b = tl.zeros([ROWS], tl.float32)
    sum_a = tl.zeros([ROWS], tl.float32)
    for start in range(0, end, COLUMNS):
        columns = start + tl.arange(0, COLUMNS)
        key = _tile(k_b, k_b2, columns, column_count, WIDTH, PADDED)
        s, seen = _scores(own_b, key, rows, columns, row_count, column_count, scale,
                          mask_b, m_b2, m_b3, MASKED, CAUSAL, PRECISION)  # fmt: skip
        top = tl.maximum(top_b, tl.max(s, 1))
        p = tl.where(seen, tl.exp(s - top[:, None]), 0.0)
        sum_b = sum_b * tl.exp(top_b - top) + tl.sum(p, 1)
        top_b = top
        key = _tile(k_a, k_a2, columns, column_count, WIDTH, PADDED)
        s, seen = _scores(own_a, key, rows, columns, row_count, column_count, scale,
                          mask_a, m_a2, m_a3, MASKED, CAUSAL, PRECISION)  # fmt: skip
        top = tl.maximum(top_a, tl.max(s, 1))
        p = tl.where(seen, tl.exp(s - top[:, None]), 0.0)
        sum_a = sum_a * tl.exp(top_a - top) + tl.sum(p, 1)
        top_a = top
    log_b = top_b + tl.log(tl.where(sum_b > 0, sum_b, 1.0))
    log_a = top_a + tl.log(tl.where(sum_a > 0, sum_a, 1.0))

    total = tl.zeros([ROWS], tl.float32)
    level = tl.zeros([ROWS], tl.float32)
    for start in range(0, end, COLUMNS):
        columns = start + tl.arange(0, COLUMNS)
        key = _tile(k_b, k_b2, columns, column_count, WIDTH, PADDED)
        s_b, seen_b = _scores(own_b, key, rows, columns, row_count, column_count, scale,
                              mask_b, m_b2, m_b3, MASKED, CAUSAL, PRECISION)  # fmt: skip
        key = _tile(k_a, k_a2, columns, column_count, WIDTH, PADDED)
        s_a, seen_a = _scores(own_a, key, rows, columns, row_count, column_count, scale,
                              mask_a, m_a2, m_a3, MASKED, CAUSAL, PRECISION)  # fmt: skip
        value = _midpoint(_tile(v_b, v_b2, columns, column_count, V_WIDTH, V_PADDED),
                          _tile(v_a, v_a2, columns, column_count, V_WIDTH, V_PADDED))  # fmt: skip
        _, _, mean = _logarithmic_mean(s_b, s_a, log_b, log_a, seen_b, seen_a)
        d = _dot(mine, tl.trans(value), PRECISION)
        total += tl.sum(mean, 1)
        level += tl.sum(mean * d, 1)
    level = level / tl.where(total > 0, total, 1.0)

    back = tl.zeros([ROWS, PADDED], tl.float32)
    for start in range(0, end, COLUMNS):
        columns = start + tl.arange(0, COLUMNS)
        key_b = _tile(k_b, k_b2, columns, column_count, WIDTH, PADDED)
        s_b, seen_b = _scores(own_b, key_b, rows, columns, row_count, column_count, scale,
                              mask_b, m_b2, m_b3, MASKED, CAUSAL, PRECISION)  # fmt: skip
        key_a = _tile(k_a, k_a2, columns, column_count, WIDTH, PADDED)
        s_a, seen_a = _scores(own_a, key_a, rows, columns, row_count, column_count, scale,
                              mask_a, m_a2, m_a3, MASKED, CAUSAL, PRECISION)  # fmt: skip
        value = _midpoint(_tile(v_b, v_b2, columns, column_count, V_WIDTH, V_PADDED),
                          _tile(v_a, v_a2, columns, column_count, V_WIDTH, V_PADDED))  # fmt: skip
        _, _, mean = _logarithmic_mean(s_b, s_a, log_b, log_a, seen_b, seen_a)
        d = _dot(mine, tl.trans(value), PRECISION)
        ds = (mean * (d - level[:, None]) * scale).to(key_b.dtype)
        back += _dot(ds, _midpoint(key_b, key_a), PRECISION)
    column = tl.arange(0, PADDED)
    place = (z * row_count + rows)[:, None] * WIDTH + column[None, :]
    tl.store(at_query + place, back, mask=(rows < row_count)[:, None] & (column < WIDTH)[None, :])
    of_row = logs + (z * row_count + rows) * 3
    tl.store(of_row, log_b, mask=rows < row_count)
    tl.store(of_row + 1, log_a, mask=rows < row_count)
    tl.store(of_row + 2, level, mask=rows < row_count)


@triton.jit  # type: ignore[untyped-decorator]
def _columns_kernel(  # type: ignore[no-untyped-def]
    c, q_b, k_b, v_b, q_a, k_a, v_a, mask_b, mask_a, at_key, at_value, logs,
    c_0, c_1, c_2, q_b0, q_b1, q_b2, k_b0, k_b1, k_b2, v_b0, v_b1, v_b2,
    q_a0, q_a1, q_a2, k_a0, k_a1, k_a2, v_a0, v_a1, v_a2,
    m_b0, m_b1, m_b2, m_b3, m_a0, m_a1, m_a2, m_a3,
    heads, samples, row_count, column_count, scale,
    WIDTH: tl.constexpr, PADDED: tl.constexpr, V_WIDTH: tl.constexpr, V_PADDED: tl.constexpr,
    MASKED: tl.constexpr, CAUSAL: tl.constexpr, PRECISION: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Compute the coefficients of keys and values, with what the other kernel left in `logs`."""
    z = tl.program_id(1).to(tl.int64)
    outer, head = z // heads, z % heads
    n = outer % samples
    first = tl.program_id(0) * COLUMNS
    columns = first + tl.arange(0, COLUMNS)
    key_b = _tile(k_b + n * k_b0 + head * k_b1, k_b2, columns, column_count, WIDTH, PADDED)
    key_a = _tile(k_a + n * k_a0 + head * k_a1, k_a2, columns, column_count, WIDTH, PADDED)
    value = _midpoint(
        _tile(v_b + n * v_b0 + head * v_b1, v_b2, columns, column_count, V_WIDTH, V_PADDED),
        _tile(v_a + n * v_a0 + head * v_a1, v_a2, columns, column_count, V_WIDTH, V_PADDED),
    )
    c += outer * c_0 + head * c_1
    q_b += n * q_b0 + head * q_b1
    q_a += n * q_a0 + head * q_a1
    mask_b += n * m_b0 + head * m_b1
    mask_a += n * m_a0 + head * m_a1
    back_key = tl.zeros([COLUMNS, PADDED], tl.float32)
    back_value = tl.zeros([COLUMNS, V_PADDED], tl.float32)
    begin = first // ROWS * ROWS if CAUSAL else 0
    for start in range(begin, row_count, ROWS):
        rows = start + tl.arange(0, ROWS)
        of_row = logs + (z * row_count + rows) * 3
        log_b = tl.load(of_row, mask=rows < row_count, other=0.0)
        log_a = tl.load(of_row + 1, mask=rows < row_count, other=0.0)
        level = tl.load(of_row + 2, mask=rows < row_count, other=0.0)
        mine = _tile(c, c_2, rows, row_count, V_WIDTH, V_PADDED)
        own_b = _tile(q_b, q_b2, rows, row_count, WIDTH, PADDED)
        own_a = _tile(q_a, q_a2, rows, row_count, WIDTH, PADDED)
        s_b, seen_b = _scores(own_b, key_b, rows, columns, row_count, column_count, scale,
                              mask_b, m_b2, m_b3, MASKED, CAUSAL, PRECISION)  # fmt: skip
        s_a, seen_a = _scores(own_a, key_a, rows, columns, row_count, column_count, scale,
                              mask_a, m_a2, m_a3, MASKED, CAUSAL, PRECISION)  # fmt: skip
        p_b, p_a, mean = _logarithmic_mean(s_b, s_a, log_b, log_a, seen_b, seen_a)
        weights = ((p_b + p_a) * 0.5).to(mine.dtype)
        back_value += _dot(tl.trans(weights), mine, PRECISION)
        d = _dot(mine, tl.trans(value), PRECISION)
        ds = (mean * (d - level[:, None]) * scale).to(mine.dtype)
        back_key += _dot(tl.trans(ds), _midpoint(own_b, own_a), PRECISION)
    here = (columns < column_count)[:, None]
    wide, wide_v = tl.arange(0, PADDED), tl.arange(0, V_PADDED)
    place = (z * column_count + columns)[:, None]
    tl.store(at_key + place * WIDTH + wide[None, :], back_key, mask=here & (wide < WIDTH)[None, :])
    tl.store(
        at_value + place * V_WIDTH + wide_v[None, :],
        back_value,
        mask=here & (wide_v < V_WIDTH)[None, :],
    )


def run_kernels(
    c: Tensor,
    run: list[Tensor],
    base: list[Tensor],
    mask: Tensor | None,
    base_mask: Tensor | None,
    is_causal: bool,
    scale: float,
    blocks: Blocks | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute the coefficients of query, key and value.

    Args:
        c: What arrives, (targets * samples, heads, queries, features).
        run: Query, key and value of the explained run, (samples, heads, positions, features).
        base: The same of the reference.
        mask: The boolean mask of the explained run, (samples, heads, queries, keys).
        base_mask: That of the reference; both or none are given.
        is_causal: Queries look at themselves and what is before them.
        scale: What query key^T is multiplied by.
        blocks: How the work is divided; default: by dtype and features.
    """
    outer, heads, rows, v_width = c.shape
    columns, width = run[1].shape[-2:]
    kinds = [*run, *base]
    # A mask that is not there is never read.
    nothing = c.new_empty((1, 1, 1, 1), dtype=torch.bool)
    masks = [(nothing if m is None else m).view(torch.uint8) for m in (mask, base_mask)]
    at_query = c.new_empty(outer, heads, rows, width)
    at_key = c.new_empty(outer, heads, columns, width)
    at_value = c.new_empty(outer, heads, columns, v_width)
    logs = c.new_empty(outer, heads, rows, 3, dtype=torch.float32)
    strides = [s for x in (c, *kinds) for s in x.stride()[:3]]
    strides += [s for m in masks for s in m.stride()]
    numbers = (*strides, heads, run[0].shape[0], rows, columns, scale)
    padded = [max(16, triton.next_power_of_2(n)) for n in (width, v_width)]
    precision = "tf32x3" if c.dtype == torch.float32 else "tf32"
    block, over, warps, stages = blocks or _blocks_for(c.dtype, max(padded))
    fixed = (
        *(width, padded[0], v_width, padded[1]),
        *(mask is not None, is_causal, precision, block, over),
    )
    how = {"num_warps": warps, "num_stages": stages}
    given = (c, *kinds, *masks)
    with running_on(c.device):
        _rows_kernel[(triton.cdiv(rows, block), outer * heads)](
            *given, at_query, logs, *numbers, *fixed, **how
        )
        _columns_kernel[(triton.cdiv(columns, over), outer * heads)](
            *given, at_key, at_value, logs, *numbers, *fixed, **how
        )
    return at_query, at_key, at_value
