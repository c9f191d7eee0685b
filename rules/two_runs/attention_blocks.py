"""Compute attention's difference coefficients in blocks of queries, as one op.

Both runs' weights exist for one block at a time: memory grows with the length, not its square.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from lrp_engine.rules.two_runs.softmax import log_weights, softmax_adjoint

# Entries of one block of scores, over all heads and samples.
BLOCK_ENTRIES = 2**23

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
    query, key, value = ((b + a) / 2 for b, a in zip(run, base, strict=True))
    at_query = c.new_empty(*c.shape[:-1], query.shape[-1])
    at_key = c.new_zeros(*c.shape[:-2], *key.shape[-2:])
    at_value = c.new_zeros(*c.shape[:-2], *value.shape[-2:])
    for rows in blocks(query, key):
        here = slice(rows.start, rows.stop)
        logs = [
            log_weights(_block_of_scores(one, m, here, is_causal, scale), -1)
            for one, m in ((run, mask), (base, base_mask))
        ]
        weights = (logs[0].exp() + logs[1].exp()).nan_to_num_(0.0).div_(2)
        mine = c[..., here, :]
        back = softmax_adjoint(mine @ value.transpose(-2, -1), logs[0], logs[1], -1).mul_(scale)
        at_query[..., here, :] = back @ key
        at_key += back.transpose(-2, -1) @ query[..., here, :]
        at_value += weights.transpose(-2, -1) @ mine
    return at_query, at_key, at_value


def _block_of_scores(
    run: list[Tensor], mask: Tensor | None, here: slice, is_causal: bool, scale: float
) -> Tensor:
    query, key, _ = run
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
