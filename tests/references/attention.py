"""Multi-head attention with the AttnLRP rules for softmax and the two matrix products."""

from dataclasses import dataclass

import torch
from torch import Tensor

from . import steps
from .layers import Linear, Rotary


@dataclass(frozen=True)
class AttentionShape:
    """How queries, keys and values are cut into heads and how scores are normalised."""

    heads: int
    kv_heads: int
    scale: float
    softmax_dtype: torch.dtype


class Attention:
    """``out(softmax(mask(scale * q k^T)) v)``; keys and values may be shared by groups of heads."""

    def __init__(
        self,
        projections: tuple[Linear, Linear, Linear, Linear],
        shape: AttentionShape,
        allowed: Tensor,
        rotary: tuple[Rotary, Rotary] | None = None,
    ) -> None:
        self.to_q, self.to_k, self.to_v, self.to_out = projections
        self.shape, self.allowed, self.rotary = shape, allowed, rotary
        self.groups = shape.heads // shape.kv_heads

    def forward(self, x: Tensor) -> Tensor:
        q = split_heads(self.to_q.forward(x), self.shape.heads)
        k = split_heads(self.to_k.forward(x), self.shape.kv_heads)
        v = split_heads(self.to_v.forward(x), self.shape.kv_heads)
        if self.rotary is not None:
            q, k = self.rotary[0].forward(q), self.rotary[1].forward(k)
        self.q = q
        self.k = k.repeat_interleave(self.groups, dim=1)
        self.v = v.repeat_interleave(self.groups, dim=1)
        self.scores = self.q @ self.k.transpose(-1, -2) * self.shape.scale
        self.weights = self._normalise(self.scores)
        self.mixed = self.weights @ self.v
        return self.to_out.forward(merge_heads(self.mixed))

    def _normalise(self, scores: Tensor) -> Tensor:
        """Masked softmax; a query that may see nothing averages over everything, harmlessly."""
        masked = scores.masked_fill(~self.allowed, torch.finfo(self.shape.softmax_dtype).min)
        return masked.softmax(-1, dtype=self.shape.softmax_dtype).to(scores.dtype)

    def backward(self, relevance: Tensor) -> Tensor:
        to_mixed = split_heads(self.to_out.backward(relevance), self.shape.heads)
        to_weights, to_v = steps.attend(self.weights, self.v, self.mixed, to_mixed)
        to_scores = steps.softmax(self.scores, self.weights, to_weights, self.allowed)
        to_q, to_k = steps.query_key(self.q, self.k, self.shape.scale, self.scores, to_scores)
        to_k, to_v = steps.ungroup(to_k, self.groups), steps.ungroup(to_v, self.groups)
        if self.rotary is not None:
            to_q, to_k = self.rotary[0].backward(to_q), self.rotary[1].backward(to_k)
        return (
            self.to_q.backward(merge_heads(to_q))
            + self.to_k.backward(merge_heads(to_k))
            + self.to_v.backward(merge_heads(to_v))
        )


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(batch, length, heads * dim) to (batch, heads, length, dim)."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    """(batch, heads, length, dim) to (batch, length, heads * dim)."""
    return x.transpose(1, 2).flatten(-2)


def key_mask(x: Tensor, attention_mask: Tensor | None, causal: bool) -> Tensor:
    """Boolean (batch, 1, query, key) mask, True where a query of ``x`` may look at a key."""
    batch, length = x.shape[:2]
    allowed = torch.ones(batch, 1, length, length, dtype=torch.bool)
    if causal:
        allowed = allowed.tril()
    if attention_mask is not None:
        allowed = allowed & attention_mask.bool()[:, None, None, :]
    return allowed
