"""Attention by hand, one query at a time: scores, softmax, weighted values; no tensor algebra."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from lrp_engine.graphs.schema import Operand
from lrp_engine.method.call import Call


def attnlrp(call: Call, c: Tensor) -> dict[Operand, Tensor]:
    """Achtibat et al. 2024, prop. 3.1 and 3.3: halves at each product of two live operands."""
    given, back = _start(call)
    relevance = c * call.out
    both = call.is_live("value") and any(map(call.is_live, ("query", "key", "attn_mask")))
    for head in _heads(call):
        q, k, v = (given[n][head[n]] for n in ("query", "key", "value"))
        for i in range(q.shape[0]):
            weights, scores = _weights(call, head, q, k, i)
            of_weights = [0.0] * len(weights)
            for j, a in enumerate(weights):
                for d in range(v.shape[1]):
                    out = float(call.out[head["query"]][i, d])
                    message = a * float(v[j, d]) / out * float(relevance[head["query"]][i, d])
                    of_weights[j] += message / 2 if both else message
                    back["value"][head["value"]][j, d] += message / 2 if both else message
            total = sum(of_weights)
            for j, a in enumerate(weights):
                if a == 0:
                    continue
                of_score = scores[j] * (of_weights[j] - a * total)  # Taylor, prop. 3.1
                _through_score(call, head, back, q, k, i, j, of_score / scores[j])
                if call.is_live("attn_mask"):
                    mask = _per_head(call, back["attn_mask"])[head["query"]]
                    mask[i, j] += of_score / scores[j] * _mask(call, head, i, j)
    return {o: back[o.name] for o in call.live}


def softmax_stopped(call: Call, c: Tensor) -> dict[Operand, Tensor]:
    """Ali et al. 2022, eq. 8: weights are numbers, a value gets its share of the output."""
    given, back = _start(call)
    for head in _heads(call):
        q, k, v = (given[n][head[n]] for n in ("query", "key", "value"))
        for i in range(q.shape[0]):
            weights, _ = _weights(call, head, q, k, i)
            for j, a in enumerate(weights):
                back["value"][head["value"]][j] += a * v[j] * c[head["query"]][i]
    return {o: back[o.name] for o in call.live}


def _start(call: Call) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    given = {name: call[name] for name in ("query", "key", "value", "attn_mask")}
    return given, {name: torch.zeros_like(x) for name, x in given.items() if x is not None}


def _heads(call: Call) -> Iterator[dict[str, tuple[int, int]]]:
    """Where each head lies in query, key and value: in grouped-query attention heads share."""
    query, key = call["query"], call["key"]
    group = query.shape[1] // key.shape[1]
    for b in range(query.shape[0]):
        for h in range(query.shape[1]):
            shared = (b, h // group)
            yield {"query": (b, h), "key": shared, "value": shared}


def _weights(
    call: Call, head: dict[str, tuple[int, int]], q: Tensor, k: Tensor, i: int
) -> tuple[list[float], list[float]]:
    """Row i of softmax(scores), and the scores themselves."""
    scores = [_scale(call) * float(q[i] @ k[j]) + _mask(call, head, i, j) for j in range(len(k))]
    powers = [math.exp(s) for s in scores]
    return [p / sum(powers) for p in powers], scores


def _scale(call: Call) -> float:
    given = call["scale"]
    return 1 / math.sqrt(call["query"].shape[-1]) if given is None else given


def _mask(call: Call, head: dict[str, tuple[int, int]], i: int, j: int) -> float:
    """What is added to score (i, j)."""
    if call["is_causal"]:
        return 0.0 if j <= i else -math.inf
    mask = call["attn_mask"]
    if mask is None:
        return 0.0
    entry = _per_head(call, mask)[head["query"]][i, j]
    if mask.dtype == torch.bool:
        return 0.0 if entry else -math.inf
    return float(entry)


def _per_head(call: Call, mask: Tensor) -> Tensor:
    """The mask as every head sees it; entries that heads share are one number."""
    return mask.expand((*call["query"].shape[:2], *mask.shape[-2:]))


def _through_score(
    call: Call,
    head: dict[str, tuple[int, int]],
    back: dict[str, Tensor],
    q: Tensor,
    k: Tensor,
    i: int,
    j: int,
    coefficient: float,
) -> None:
    """score = scale * sum_d q_d k_d (+ mask): each of two live operands gets half of its term."""
    half = 0.5 if call.is_live("query") and call.is_live("key") else 1.0
    message = half * coefficient * _scale(call) * q[i] * k[j]
    back["query"][head["query"]][i] += message
    back["key"][head["key"]][j] += message
