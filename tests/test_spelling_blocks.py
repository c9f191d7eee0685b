"""Normalisation and attention: the fused op and the hand-written one give the same relevance."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lrp_engine import explain
from tests.support import assert_close, draw

Function = Callable[[Tensor], Tensor]
WEIGHT, BIAS, EPS = draw(8, seed=1), draw(8, seed=2), 1e-3


def relevance(function: Function, x: Tensor) -> Tensor:
    return explain(function, x, target=draw(*x.shape, seed=9), dynamic=False).relevance["x"]


# --- normalisation -----------------------------------------------------------------------------


def layer_norm(x: Tensor) -> Tensor:
    return F.layer_norm(x, (8,), WEIGHT, BIAS, EPS)


def rms_norm(x: Tensor) -> Tensor:
    return F.rms_norm(x, (8,), WEIGHT, EPS)


def batch_norm(x: Tensor) -> Tensor:
    return F.batch_norm(x, BIAS, WEIGHT.exp(), WEIGHT, BIAS, eps=EPS)


def centred(x: Tensor) -> Tensor:
    return x - x.mean(-1, keepdim=True)


def power(x: Tensor) -> Tensor:
    """The mean square, kept away from zero."""
    return (x**2).mean(-1, keepdim=True) + EPS


def variance(x: Tensor) -> Tensor:
    return x.var(-1, unbiased=False, keepdim=True) + EPS


NORMS: dict[str, tuple[Function, Function]] = {
    "layer, sqrt": (layer_norm, lambda x: centred(x) / power(centred(x)).sqrt() * WEIGHT + BIAS),
    "layer, rsqrt": (layer_norm, lambda x: WEIGHT * centred(x) * variance(x).rsqrt() + BIAS),
    "layer, -0.5": (layer_norm, lambda x: centred(x) * variance(x) ** -0.5 * WEIGHT + BIAS),
    "layer, 0.5": (layer_norm, lambda x: centred(x) / power(centred(x)) ** 0.5 * WEIGHT + BIAS),
    "layer, 1/sqrt": (layer_norm, lambda x: centred(x) * (1 / variance(x).sqrt()) * WEIGHT + BIAS),
    "layer, E[x2]-E[x]2": (
        layer_norm,
        lambda x: (
            centred(x) / (power(x) - x.mean(-1, keepdim=True).square()).sqrt() * WEIGHT + BIAS
        ),
    ),
    "rms, rsqrt": (rms_norm, lambda x: x * power(x).rsqrt() * WEIGHT),
    "rms, division": (rms_norm, lambda x: x / power(x).sqrt() * WEIGHT),
    "rms, -0.5": (rms_norm, lambda x: WEIGHT * (x * power(x) ** -0.5)),
    "rms, product": (
        rms_norm,
        lambda x: x / torch.sqrt((x * x).mean(-1, keepdim=True) + EPS) * WEIGHT,
    ),
    "rms, reciprocal": (rms_norm, lambda x: x * torch.reciprocal(power(x).sqrt()) * WEIGHT),
    "normalize": (
        lambda x: F.normalize(x, dim=-1),
        lambda x: x / (x * x).sum(-1, keepdim=True).sqrt(),
    ),
    "group": (
        lambda x: F.group_norm(x, 2, WEIGHT, BIAS, EPS),
        lambda x: F.layer_norm(x.view(-1, 2, 4), (4,), eps=EPS).view(-1, 8) * WEIGHT + BIAS,
    ),
    "batch": (
        batch_norm,
        lambda x: (x - BIAS) / torch.sqrt(WEIGHT.exp() + EPS) * WEIGHT + BIAS,
    ),
}


@pytest.mark.parametrize("name", NORMS)
def test_a_norm_by_hand_is_the_fused_one(name):
    fused, by_hand = (relevance(norm, draw(5, 8)) for norm in NORMS[name])
    assert_close(by_hand, fused, 1e-10)


# --- attention ---------------------------------------------------------------------------------


def by_hand(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    attn_mask: Tensor | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """What torch documents scaled_dot_product_attention to compute."""
    if enable_gqa:
        k, v = (x.repeat_interleave(q.shape[1] // k.shape[1], 1) for x in (k, v))
    scores = q @ k.transpose(-1, -2) * (1 / math.sqrt(q.shape[-1]) if scale is None else scale)
    if is_causal:
        attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        scores = scores.masked_fill(~attn_mask, -math.inf)
    elif attn_mask is not None:
        scores = scores + attn_mask
    return scores.softmax(-1) @ v


SEEN = (draw(2, 1, 5, 7, seed=4) > -0.5).index_fill(-1, torch.tensor([2]), True)
HIDDEN = torch.zeros(5, 7, dtype=torch.float64).masked_fill(~SEEN[0, 0], -math.inf)
CALLS = {
    "plain": {},
    "scale": {"scale": 0.3},
    "bool mask": {"attn_mask": SEEN},
    "float mask": {"attn_mask": draw(2, 4, 5, 7, seed=5)},
    "-inf mask": {"attn_mask": HIDDEN},
    "causal": {"is_causal": True},
    "grouped": {"enable_gqa": True},
    "grouped, bool mask": {"enable_gqa": True, "attn_mask": SEEN},
}


def of_attention(attend: Callable[..., Tensor], options: dict, keys: int = 7) -> list[Tensor]:
    """Relevance of query, key and value."""
    heads = 2 if options.get("enable_gqa") else 4
    q, k, v = draw(2, 4, 5, 3), draw(2, heads, keys, 3, seed=1), draw(2, heads, keys, 3, seed=2)
    ex = explain(
        lambda q, k, v: attend(q, k, v, **options),
        (q, k, v),
        target=draw(2, 4, 5, 3, seed=3),
        dynamic=False,
    )
    return [ex.relevance[name] for name in "qkv"]


@pytest.mark.parametrize("name", CALLS)
def test_attention_by_hand_is_the_fused_one(name):
    fused = of_attention(F.scaled_dot_product_attention, CALLS[name])
    for found, expected in zip(of_attention(by_hand, CALLS[name]), fused, strict=True):
        assert_close(found, expected, 1e-10)


@pytest.mark.parametrize("keys", [3, 5])
def test_causal_attention_to_fewer_keys_agrees(keys):
    options = {"is_causal": True}
    fused = of_attention(F.scaled_dot_product_attention, options, keys)
    for found, expected in zip(of_attention(by_hand, options, keys), fused, strict=True):
        assert_close(found, expected, 1e-10)


def test_hidden_keys_get_nothing_from_either_spelling():
    nobody = torch.tensor([3, 6])
    options = {"attn_mask": SEEN.index_fill(-1, nobody, False)}
    for attend in (F.scaled_dot_product_attention, by_hand):
        _, to_key, to_value = of_attention(attend, options)
        assert (to_key[:, :, nobody] == 0).all()
        assert (to_value[:, :, nobody] == 0).all()
        assert to_value.isfinite().all()


def test_one_tensor_as_query_key_and_value_agrees():
    fused, plain = (
        relevance(lambda x, f=f: f(x, 2 * x, x), draw(2, 2, 5, 3))
        for f in (F.scaled_dot_product_attention, by_hand)
    )
    assert_close(plain, fused, 1e-10)
