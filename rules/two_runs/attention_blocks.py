"""Compute attention's difference coefficients as one op, whose memory grows with the length.

On a GPU Triton kernels hold no weights at all, in single and half precision. Elsewhere, in double
precision, and for what the kernels do not take (additive masks, wide heads), both runs' weights
exist for one block of queries at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from lrp_engine.kernels.dense_rows import with_dense_rows
from lrp_engine.kernels.has_triton import has_triton
from lrp_engine.method.relevance import widen
from lrp_engine.rules.two_runs.softmax import log_weights, softmax_adjoint

# Entries of one block of scores, over all heads and samples.
BLOCK_ENTRIES = 2**23
# Features of a head that a kernel can hold.
WIDEST_HEAD = 128

_NAME = "lrp_engine::two_run_attention"
torch.library.define(
    _NAME,
    "(Tensor c, Tensor[] run, Tensor[] base, Tensor? mask, Tensor? base_mask, bool is_causal,"
    " float scale) -> (Tensor, Tensor, Tensor)",
    tags=(torch.Tag.pt2_compliant_tag,),
)
two_run_attention: Callable[..., tuple[Tensor, Tensor, Tensor]] = (
    torch.ops.lrp_engine.two_run_attention.default
)


def scores(query: Tensor, key: Tensor, mask: Tensor | None, scale: float) -> Tensor:
    """Return query key^T * scale + mask, -inf where nothing is looked at."""
    found = query @ key.transpose(-2, -1) * scale
    if mask is None:
        return found
    return found.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else found + mask


def causal_mask(rows: range, columns: int, device: torch.device) -> Tensor:
    """Return which keys each query of a block may look at: itself and those before."""
    places = torch.arange(rows.start, rows.stop, device=device)
    return places[:, None] >= torch.arange(columns, device=device)


def blocks(query: Tensor, key: Tensor) -> Iterator[range]:
    """Yield the rows of one block after the other."""
    row = max(1, query[..., 0, 0].numel() * key.shape[-2])
    size = max(1, BLOCK_ENTRIES // row)
    for start in range(0, query.shape[-2], size):
        yield range(start, min(start + size, query.shape[-2]))


@torch.library.impl(_NAME, "CompositeExplicitAutograd")
def _computed(
    c: Tensor,
    run: list[Tensor],
    base: list[Tensor],
    mask: Tensor | None,
    base_mask: Tensor | None,
    is_causal: bool,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the coefficients of query, key and value.

    Args:
        c: What arrives, (..., queries, features); more leading axes than the operands have are
            coefficients of several targets.
        run: Query, key and value of the explained run, (..., positions, features).
        base: The same of the reference.
        mask: The additive or boolean mask of the explained run.
        base_mask: That of the reference.
        is_causal: Queries look at themselves and what is before them.
        scale: What query key^T is multiplied by.
    """
    if _suits_kernels(c, run, mask, base_mask):
        return _by_kernels(c, run, base, mask, base_mask, is_causal, scale)
    query, key, value = (widen(b).lerp(widen(a), 0.5) for b, a in zip(run, base, strict=True))
    wide = query.dtype
    at_query = c.new_empty(*c.shape[:-1], query.shape[-1])
    at_key = c.new_zeros(*c.shape[:-2], *key.shape[-2:], dtype=wide)
    at_value = c.new_zeros(*c.shape[:-2], *value.shape[-2:], dtype=wide)
    for rows in blocks(query, key):
        here = slice(rows.start, rows.stop)
        logs = [
            log_weights(_block_of_scores(one, m, here, is_causal, scale), -1)
            for one, m in ((run, mask), (base, base_mask))
        ]
        weights = (logs[0].exp() + logs[1].exp()).nan_to_num_(0.0).div_(2)
        mine = widen(c[..., here, :])
        back = softmax_adjoint(mine @ value.transpose(-2, -1), logs[0], logs[1], -1).mul_(scale)
        at_query[..., here, :] = back @ key
        at_key += back.transpose(-2, -1) @ query[..., here, :]
        at_value += weights.transpose(-2, -1) @ mine
    return at_query, at_key.to(c.dtype), at_value.to(c.dtype)


def _suits_kernels(
    c: Tensor, run: list[Tensor], mask: Tensor | None, base_mask: Tensor | None
) -> bool:
    """Return whether the Triton kernels take these operands."""
    query, _, value = run
    masks = [m for m in (mask, base_mask) if m is not None]
    return (
        c.device.type == "cuda"
        and c.dtype in (torch.float32, torch.bfloat16)
        and all(x.dtype == c.dtype for x in run)
        and max(query.shape[-1], value.shape[-1]) <= WIDEST_HEAD
        and all(m.dtype == torch.bool for m in masks)
        and len(masks) != 1
        and c.numel() > 0
        and has_triton()
    )


def _by_kernels(
    c: Tensor,
    run: list[Tensor],
    base: list[Tensor],
    mask: Tensor | None,
    base_mask: Tensor | None,
    is_causal: bool,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute the same with samples and heads as two axes, targets in front of the samples."""
    from lrp_engine.kernels.two_run_attention_triton import run_kernels

    lead = run[0].shape[:-2]
    heads = lead[-1] if lead else 1
    shape = (*lead, run[0].shape[-2], run[1].shape[-2])

    def four_axes(x: Tensor) -> Tensor:
        return with_dense_rows(x.reshape(-1, heads, *x.shape[-2:]))

    own, other = ([four_axes(x) for x in one] for one in (run, base))
    masks = [None if m is None else four_axes(m.expand(shape)) for m in (mask, base_mask)]
    found = run_kernels(four_axes(c), own, other, masks[0], masks[1], is_causal, scale)
    at_query, at_key, at_value = (x.view(*c.shape[:-2], *x.shape[-2:]) for x in found)
    return at_query, at_key, at_value


def _block_of_scores(
    run: list[Tensor], mask: Tensor | None, here: slice, is_causal: bool, scale: float
) -> Tensor:
    query, key, _ = (widen(x) for x in run)
    if mask is not None and mask.shape[-2] != 1:
        mask = mask[..., here, :]
    found = scores(query[..., here, :], key, mask, scale)
    if is_causal:
        allowed = causal_mask(range(here.start, here.stop), key.shape[-2], query.device)
        found = found.masked_fill(~allowed, -torch.inf)
    return found


def _without_data(c: Tensor, run: list[Tensor], *_: object) -> tuple[Tensor, Tensor, Tensor]:
    query, key, value = run
    return (
        c.new_empty(*c.shape[:-1], query.shape[-1]),
        c.new_empty(*c.shape[:-2], *key.shape[-2:]),
        c.new_empty(*c.shape[:-2], *value.shape[-2:]),
    )


torch.library.register_fake(_NAME, _without_data)


def _batched(
    info: object,
    in_dims: tuple[object, ...],
    c: Tensor,
    run: list[Tensor],
    base: list[Tensor],
    *settings: object,
) -> tuple[tuple[Tensor, Tensor, Tensor], tuple[int, int, int]]:
    """Add one more axis in front of what arrives: the runs are the same for all targets."""
    at_c, *others = torch.utils._pytree.tree_leaves(in_dims, is_leaf=lambda x: x is None)
    if not isinstance(at_c, int) or any(d is not None for d in others):
        raise ValueError("two_run_attention: only coefficients differ between targets")
    return two_run_attention(c.movedim(at_c, 0), run, base, *settings), (0, 0, 0)


torch.library.register_vmap(_NAME, _batched)
