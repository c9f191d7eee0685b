"""Attention whose heads share keys and values, as onnxruntime's decoders write it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..op_table import NodeContext, op
from ..unsupported import Refused
from ..values import HostArray, OnnxValue, as_ints, as_tensor
from .fused_attention import MICROSOFT, rotate

_CACHES = "shared, quantised and sliding caches are not supported"


@op("GroupQueryAttention", domain=MICROSOFT)
def group_query_attention(
    query: Tensor,
    key: Tensor | None,
    value: Tensor | None,
    past_key: Tensor | None,
    past_value: Tensor | None,
    seqlens_k: OnnxValue,
    total_sequence_length: OnnxValue,
    cos_cache: Tensor | None = None,
    sin_cache: Tensor | None = None,
    position_ids: Tensor | None = None,
    attention_bias: Tensor | None = None,
    *,
    node: NodeContext,
    num_heads: int,
    kv_num_heads: int,
    scale: float | None = None,
    do_rotary: int = 0,
    rotary_interleaved: int = 0,
    local_window_size: int = -1,
    softcap: float = 0.0,
    smooth_softmax: int = 0,
    causal: int = 1,
    k_quant_type: str = "NONE",
    v_quant_type: str = "NONE",
    kv_cache_bit_width: int = 0,
    sliding_window_cache: int = 0,
    qk_output: int = 0,
) -> list[Tensor]:
    """Attend causally behind a cache; every cache holds as many positions as `past_key` has."""
    if {k_quant_type, v_quant_type} != {"NONE"} or kv_cache_bit_width or sliding_window_cache:
        raise Refused(_CACHES)
    if smooth_softmax == 1 or not causal or any(node.outputs[3:]):
        raise Refused("smooth softmax, both directions and scores as an output are not supported")
    if key is None or value is None:
        size = query.shape[-1] // (num_heads + 2 * kv_num_heads)
        query, key, value = query.split(  # type: ignore[no-untyped-call]
            [num_heads * size, kv_num_heads * size, kv_num_heads * size], -1
        )
    q = _split(query, num_heads)
    k, v = _split(key, kv_num_heads), _split(value, kv_num_heads)
    cached = 0 if past_key is None else past_key.shape[2]
    _check_lengths(seqlens_k, cached, cached + q.shape[2])
    if do_rotary:
        if cos_cache is None or sin_cache is None:
            raise Refused("cos_cache and sin_cache are missing")
        places = cached + torch.arange(q.shape[2], device=q.device).unsqueeze(0)
        places = places if position_ids is None else position_ids
        q, k = (rotate(x, places, cos_cache, sin_cache, bool(rotary_interleaved)) for x in (q, k))
    if past_key is not None and past_value is not None:
        k, v = torch.cat([past_key, k], 2), torch.cat([past_value, v], 2)
    group = num_heads // kv_num_heads
    keys, values = (x.repeat_interleave(group, 1) if group > 1 else x for x in (k, v))
    y = _attended(q, keys, values, scale, attention_bias, local_window_size, softcap)
    return [y.transpose(1, 2).flatten(2), k, v]


def _split(x: Tensor, heads: int) -> Tensor:
    """(batch, length, hidden) -> (batch, head, length, size)."""
    parts: Tensor = x.unflatten(-1, (heads, -1))  # type: ignore[no-untyped-call]
    return parts.transpose(1, 2)


def _check_lengths(last: OnnxValue, cached: int, total: int) -> None:
    """Check that a cache is full; a prompt without one may be padded at its end.

    Args:
        last: The last position of every sequence, `seqlens_k`.
        cached: How many positions the cache has.
        total: How many positions there are with the new ones.
    """
    if not isinstance(cached, torch.SymInt) and not cached:
        return
    if isinstance(last, HostArray) and last.concrete and isinstance(total, int):
        if any(place + 1 != total for place in as_ints(last)):
            raise Refused("sequences of different lengths behind one cache, or a cache with room")
        return
    full = (as_tensor(last) + 1 == total).all()
    torch._assert_async(full, "GroupQueryAttention: a cache holds more or fewer positions")


def _attended(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    scale: float | None,
    added: Tensor | None,
    window: int,
    softcap: float,
) -> Tensor:
    """Return softmax(softcap tanh(q k^T scale / softcap) + added) v for the keys in reach."""
    cached = k.shape[2] - q.shape[2]
    plain = added is None and window < 0 and not softcap
    if plain and isinstance(cached, int) and cached == 0:
        return F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scale or None)
    away = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool, device=q.device)
    hidden = away.triu(1 + cached)
    if window >= 0:
        hidden = hidden | away.tril(cached - window)
    mask = q.new_zeros(()) if added is None else added
    mask = torch.masked_fill(mask, hidden, torch.finfo(q.dtype).min)
    if not softcap:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale or None)
    scores = torch.matmul(q, k.transpose(2, 3)) * (scale or q.shape[-1] ** -0.5)
    scores = softcap * torch.tanh(scores / softcap)
    return torch.matmul(torch.softmax(scores + mask, -1), v)
