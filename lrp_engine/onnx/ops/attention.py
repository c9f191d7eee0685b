"""Attention as torch's fused op, where that says the same; its schema's body otherwise."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ..op_table import NodeContext, op
from ..unsupported import Refused


@op("Attention", since=23)
def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    attn_mask: Tensor | None = None,
    past_key: Tensor | None = None,
    past_value: Tensor | None = None,
    nonpad_kv_seqlen: Tensor | None = None,
    *,
    is_causal: int = 0,
    kv_num_heads: int | None = None,
    left_window_size: int = -1,
    q_num_heads: int | None = None,
    qk_matmul_output_mode: int = 0,
    right_window_size: int = -1,
    scale: float | None = None,
    softcap: float = 0.0,
    softmax_precision: int | None = None,
    node: NodeContext,
) -> object:
    """Attend by torch's fused op; leave caches, windows and soft caps to ONNX's body."""
    cached = past_key is not None or past_value is not None or nonpad_kv_seqlen is not None
    windowed = left_window_size != -1 or right_window_size != -1
    if cached or windowed or softcap or softmax_precision or any(node.outputs[1:]):
        return NotImplemented
    packed = q.dim() == 3
    if attn_mask is not None and (is_causal or attn_mask.shape[-1] != k.shape[-2]):
        return NotImplemented
    if packed:
        q, k, v = _heads(q, q_num_heads), _heads(k, kv_num_heads), _heads(v, kv_num_heads)
    group = q.shape[1] // k.shape[1]
    if group > 1:
        k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
    z = F.scaled_dot_product_attention(q, k, v, attn_mask, 0.0, bool(is_causal), scale=scale)
    return z.transpose(1, 2).flatten(2) if packed else z


def _heads(x: Tensor, count: int | None) -> Tensor:
    """(batch, length, heads * size) -> (batch, heads, length, size)."""
    if count is None:
        raise Refused("the number of heads is missing")
    heads: Tensor = x.unflatten(-1, (count, -1))  # type: ignore[no-untyped-call]
    return heads.transpose(1, 2)
