"""Attention as onnxruntime's optimiser fuses it (domain com.microsoft), taken apart again."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..op_table import NodeContext, op
from ..unsupported import Refused

MICROSOFT = "com.microsoft"


@op("Attention", domain=MICROSOFT)
def attention(
    x: Tensor,
    weights: Tensor,
    bias: Tensor | None = None,
    mask_index: Tensor | None = None,
    past: Tensor | None = None,
    attention_bias: Tensor | None = None,
    past_sequence_length: Tensor | None = None,
    *,
    node: NodeContext,
    num_heads: int,
    unidirectional: int = 0,
    qkv_hidden_sizes: tuple[int, ...] | None = None,
    scale: float | None = None,
    mask_filter_value: float = -10000.0,
    do_rotary: int = 0,
    past_present_share_buffer: int = 0,
    rotary_embedding_dim: int = 0,
) -> list[Tensor]:
    """Project to queries, keys and values, attend, and join the heads."""
    if do_rotary or past_present_share_buffer:
        raise Refused("rotary embedding and shared buffers inside fused attention")
    sizes = list(qkv_hidden_sizes or [weights.shape[1] // 3] * 3)
    parts = F.linear(x, weights.t(), bias).split(sizes, -1)  # type: ignore[no-untyped-call]
    q, k, v = (_heads(part, num_heads) for part in parts)
    if past is not None:
        k, v = torch.cat([past[0], k], 2), torch.cat([past[1], v], 2)
    hidden = _hidden(mask_index, x.shape[0], k.shape[2])
    y = attend(q, k, v, scale, attention_bias, hidden, bool(unidirectional), mask_filter_value)
    return [y, torch.stack([k, v])]


@op("MultiHeadAttention", domain=MICROSOFT)
def multi_head_attention(
    query: Tensor,
    key: Tensor | None = None,
    value: Tensor | None = None,
    bias: Tensor | None = None,
    key_padding_mask: Tensor | None = None,
    attention_bias: Tensor | None = None,
    past_key: Tensor | None = None,
    past_value: Tensor | None = None,
    past_sequence_length: Tensor | None = None,
    cache_indirection: Tensor | None = None,
    *,
    node: NodeContext,
    num_heads: int,
    scale: float | None = None,
    unidirectional: int = 0,
    mask_filter_value: float = -10000.0,
) -> list[Tensor]:
    """Attend with projected queries, keys and values, each (batch, length, hidden)."""
    if cache_indirection is not None or past_sequence_length is not None or any(node.outputs[3:]):
        raise Refused("shared buffers, beams and scores as an output are not supported")
    if key is None or value is None or query.dim() != 3:
        raise Refused("queries, keys and values packed in one tensor are not supported")
    if bias is not None:
        sizes = [query.shape[-1], key.shape[-1] if key.dim() == 3 else query.shape[-1]]
        bq, bk, bv = bias.split([*sizes, bias.shape[0] - sum(sizes)])  # type: ignore[no-untyped-call]
        query = query + bq
        if key.dim() == 3:
            key, value = key + bk, value + bv
    q, k, v = (_heads(x, num_heads) for x in (query, key, value))
    if past_key is not None and past_value is not None:
        k, v = torch.cat([past_key, k], 2), torch.cat([past_value, v], 2)
    hidden = _hidden(key_padding_mask, query.shape[0], k.shape[2])
    y = attend(q, k, v, scale, attention_bias, hidden, bool(unidirectional), mask_filter_value)
    return [y, k, v]


def _heads(x: Tensor, count: int) -> Tensor:
    """(batch, length, hidden) -> (batch, head, length, size); four axes stay as they are."""
    return x if x.dim() == 4 else x.unflatten(-1, (count, -1)).transpose(1, 2)  # type: ignore[no-untyped-call]


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    scale: float | None,
    added: Tensor | None,
    hidden: Tensor | None,
    causal: bool,
    filler: float,
) -> Tensor:
    """Return softmax(q k^T scale + added) v, with `filler` added where a key is hidden.

    Args:
        q: Queries (batch, head, length, size); they are the last of the positions of the keys.
        k: Keys (batch, head, positions, size).
        v: Values (batch, head, positions, size of values).
        scale: The factor of the scores; None or 0 is 1 over the root of the size.
        added: Numbers that are added to the scores.
        hidden: Keys that are hidden, (batch, 1, 1 or length, positions).
        causal: Hide the keys behind a query's position.
        filler: What is added for a hidden key.

    Returns:
        The joined heads, (batch, length, heads * size of values).
    """
    mask = added
    if hidden is not None:
        away = hidden.to(q.dtype) * filler
        mask = away if mask is None else mask + away
    cached = k.shape[2] - q.shape[2]
    if causal and mask is None and isinstance(cached, int) and cached == 0:
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scale or None)
    else:
        if causal:
            later = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool, device=q.device)
            later = later.triu(1 + cached)
            mask = q.new_zeros(()) if mask is None else mask
            mask = torch.masked_fill(mask, later, torch.finfo(q.dtype).min)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale or None)
    return y.transpose(1, 2).flatten(2)


def _hidden(mask: Tensor | None, batch: int, keys: int) -> Tensor | None:
    """Return which keys are hidden, in the shape (batch, 1, 1 or queries, keys)."""
    if mask is None:
        return None
    if mask.dim() == 1:
        if isinstance(batch, int) and mask.shape[0] != batch:
            raise Refused("this form of attention mask is not supported")
        positions = torch.arange(keys, device=mask.device)
        return (positions >= mask.unsqueeze(-1))[:, None, None, :]
    if mask.dim() == 2:
        return (mask == 0)[:, None, None, :]
    if mask.dim() == 3:
        return (mask == 0)[:, None]
    raise Refused("this form of attention mask is not supported")


@op("RotaryEmbedding", domain=MICROSOFT)
def rotary_embedding(
    x: Tensor,
    position_ids: Tensor,
    cos_cache: Tensor,
    sin_cache: Tensor,
    *,
    interleaved: int = 0,
    num_heads: int = 0,
    rotary_embedding_dim: int = 0,
    scale: float = 1.0,
    is_packed_batching: int = 0,
) -> Tensor:
    """Rotate pairs of entries by an angle that grows with the position."""
    if is_packed_batching or scale != 1:
        raise Refused("packed batches and scales are not supported")
    size = 2 * cos_cache.shape[1]
    heads = x if x.dim() == 4 else x.unflatten(-1, (num_heads or -1, size if not num_heads else -1))  # type: ignore[no-untyped-call]
    heads = heads.transpose(1, 2) if x.dim() == 4 else heads  # batch, length, head, size
    if position_ids.dim() == 1:
        position_ids = position_ids + torch.arange(heads.shape[1], device=x.device)
        position_ids = position_ids.unsqueeze(0)
    out = rotate(heads.transpose(1, 2), position_ids, cos_cache, sin_cache, bool(interleaved))
    return out if x.dim() == 4 else out.transpose(1, 2).flatten(2)


def rotate(
    heads: Tensor, positions: Tensor, cos_cache: Tensor, sin_cache: Tensor, interleaved: bool
) -> Tensor:
    """Rotate pairs of entries of (batch, head, length, size) by the angles of their positions.

    Args:
        heads: What is rotated; entries behind twice the width of the tables stay as they are.
        positions: (batch or 1, length).
        cos_cache: Cosines by position, (positions, angles).
        sin_cache: Sines by position, (positions, angles).
        interleaved: Pairs are neighbours; else an entry of the first half and one of the second.
    """
    size = 2 * cos_cache.shape[1]
    cos = F.embedding(positions, cos_cache).unsqueeze(1)
    sin = F.embedding(positions, sin_cache).unsqueeze(1)
    turned, rest = heads[..., :size], heads[..., size:]
    if interleaved:
        a, b = turned[..., ::2], turned[..., 1::2]
        out = torch.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2)
    else:
        a, b = turned.chunk(2, -1)
        out = torch.cat([a * cos - b * sin, a * sin + b * cos], -1)
    return torch.cat([out, rest], -1) if rest.shape[-1] else out
