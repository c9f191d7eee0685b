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
    if past is not None or any(node.outputs[1:]):
        raise Refused("attention with a cache of keys and values is not supported")
    if do_rotary or past_present_share_buffer:
        raise Refused("rotary embedding inside fused attention is not supported")
    sizes = list(qkv_hidden_sizes or [weights.shape[1] // 3] * 3)
    q, k, v = F.linear(x, weights.t(), bias).split(sizes, -1)  # type: ignore[no-untyped-call]
    return [
        _attended(
            q, k, v, num_heads, scale, attention_bias,
            _hidden(mask_index, x.shape[0], x.shape[1]), bool(unidirectional), mask_filter_value,
        )
    ]  # fmt: skip


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
    if past_key is not None or past_value is not None or any(node.outputs[1:]):
        raise Refused("attention with a cache of keys and values is not supported")
    if key is None or value is None or query.dim() != 3:
        raise Refused("queries, keys and values packed in one tensor are not supported")
    if bias is not None:
        sizes = [query.shape[-1], key.shape[-1] if key.dim() == 3 else query.shape[-1]]
        bq, bk, bv = bias.split([*sizes, bias.shape[0] - sum(sizes)])  # type: ignore[no-untyped-call]
        query = query + bq
        if key.dim() == 3:
            key, value = key + bk, value + bv
    length = key.shape[1] if key.dim() == 3 else key.shape[2]
    hidden = _hidden(key_padding_mask, query.shape[0], length)
    y = _attended(
        query, key, value, num_heads, scale, attention_bias, hidden, bool(unidirectional),
        mask_filter_value,
    )  # fmt: skip
    return [y]


def _heads(x: Tensor, count: int) -> Tensor:
    """(batch, length, hidden) -> (batch, head, length, size); four axes stay as they are."""
    return x if x.dim() == 4 else x.unflatten(-1, (count, -1)).transpose(1, 2)  # type: ignore[no-untyped-call]


def _attended(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    heads: int,
    scale: float | None,
    added: Tensor | None,
    hidden: Tensor | None,
    causal: bool,
    filler: float,
) -> Tensor:
    """Return softmax(q k^T scale + added) v, with `filler` added where a key is hidden."""
    q, k, v = _heads(q, heads), _heads(k, heads), _heads(v, heads)
    mask = added
    if hidden is not None:
        away = hidden.to(q.dtype) * filler
        mask = away if mask is None else mask + away
    if causal and mask is None:
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scale or None)
    else:
        if causal:
            later = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool, device=q.device).triu(1)
            mask = torch.masked_fill(mask, later, torch.finfo(q.dtype).min)  # type: ignore[arg-type]
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
    cos = F.embedding(position_ids, cos_cache).unsqueeze(2)
    sin = F.embedding(position_ids, sin_cache).unsqueeze(2)
    turned, rest = heads[..., :size], heads[..., size:]
    if interleaved:
        a, b = turned[..., ::2], turned[..., 1::2]
        out = torch.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2)
    else:
        a, b = turned.chunk(2, -1)
        out = torch.cat([a * cos - b * sin, a * sin + b * cos], -1)
    if rest.shape[-1]:
        out = torch.cat([out, rest], -1)
    return out.transpose(1, 2) if x.dim() == 4 else out.flatten(2)
