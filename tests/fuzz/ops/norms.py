"""Normalisations in all spellings, attention in all spellings, recurrent nets, losses."""

import torch
from hypothesis import strategies as st
from torch.nn import functional as F

from tests.fuzz.rows import Row, at_least, both, has_dim, same_shape


def last_twice(x, **_options):
    return [(x.shape[-1],)] * 2


def channels_twice(x, **_options):
    return [(x.shape[1],)] * 2


def more_than_one(x, *_others, **_options):
    return x.dim() >= 2 and x.shape[-1] > 1


def layer_norm_by_hand(x, w, b):
    centred = x - x.mean(-1, keepdim=True)
    return centred / torch.sqrt(centred.pow(2).mean(-1, keepdim=True) + 1e-5) * w + b


def batch_norm(x, w, b, affine):
    return F.batch_norm(x, b, 0.5 + w * w, w if affine else None, b if affine else None)


NORMS = [
    Row("layer_norm", lambda x, w, b: F.layer_norm(x, x.shape[-1:], w, b), fits=more_than_one,
        weights=last_twice),
    Row("layer_norm plain", lambda x: F.layer_norm(x, x.shape[1:]), fits=more_than_one),
    Row("layer_norm by hand", layer_norm_by_hand, fits=more_than_one, weights=last_twice),
    Row("layer_norm live", lambda x, y: F.layer_norm(x, x.shape[-1:]) * (1 + y) + y, "ff",
        both(more_than_one, same_shape)),
    Row("rms_norm", lambda x, w, b: F.rms_norm(x, x.shape[-1:], w, 1e-5), fits=more_than_one,
        weights=last_twice),
    Row("rms by hand", lambda x, w, b: x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-5)
        * w, fits=more_than_one, weights=last_twice),
    Row("group_norm", lambda x, w, b, groups: F.group_norm(x, groups, w, b),
        fits=lambda x, groups: x.dim() >= 3 and x.shape[1] % groups == 0 and x[0].numel() > groups,
        weights=channels_twice, options={"groups": st.integers(1, 2)}),
    Row("instance_norm", lambda x, w, b: F.instance_norm(x, weight=w, bias=b),
        fits=lambda x: x.dim() >= 3 and x.shape[2:].numel() > 1, weights=channels_twice),
    Row("batch_norm", batch_norm, fits=at_least(2), weights=channels_twice,
        options={"affine": st.booleans()}),
    Row("local_response_norm", lambda x: F.local_response_norm(x, 2), fits=at_least(3)),
    Row("normalize 1", lambda x: F.normalize(x, p=1, dim=-1), fits=at_least(2)),
    Row("standardise", lambda x: (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + 0.1),
        fits=more_than_one),
    Row("scale by max", lambda x: x / (x.abs().amax(-1, keepdim=True) + 1e-3), fits=at_least(2)),
]  # fmt: skip


def attends(q, k, **_options):
    return q.dim() == k.dim() == 3 and q.shape[2] == k.shape[2]


def plain_attention(q, k, causal):
    scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
    if causal:
        hidden = torch.ones(q.shape[1], k.shape[1], dtype=torch.bool).triu(1)
        scores = scores.masked_fill(hidden, float("-inf"))
    return scores.softmax(-1) @ k


def masked_attention(q, k):
    """Keys are hidden by what they are; the first never is."""
    hidden = k.sum(-1) < 0
    hidden = hidden & (torch.arange(k.shape[1]) > 0)
    return F.scaled_dot_product_attention(q, k, k, attn_mask=~hidden[:, None, :])


def heads(q, k):
    split = [x.reshape(*x.shape[:2], 2, -1).transpose(1, 2) for x in (q, k)]
    out = F.scaled_dot_product_attention(split[0], split[1], split[1])
    return out.transpose(1, 2).flatten(2)


def grouped_heads(x):
    kv = x.unsqueeze(1)
    return F.scaled_dot_product_attention(torch.cat([kv, -kv], 1), kv, kv, enable_gqa=True).flatten(
        2
    )


def multi_head(x, w, b, out, bias):
    x = x.transpose(0, 1)
    width = x.shape[-1]
    found, _ = F.multi_head_attention_forward(
        x, x, x, width, 2, w, b, None, None, False, 0.0, out, bias, training=False,
        need_weights=False,
    )  # fmt: skip
    return found.transpose(0, 1)


def multi_head_weights(x):
    e = x.shape[-1]
    return [(3 * e, e), (3 * e,), (e, e), (e,)]


def rotary(x):
    half = x.shape[-1] // 2
    angles = torch.arange(x.shape[1], dtype=x.dtype)[:, None] / (1 + torch.arange(half))
    angles = torch.cat([angles, angles], -1)
    turned = torch.cat([-x[..., half:], x[..., :half]], -1)
    return x * angles.cos() + turned * angles.sin()


def even(x, *_others, **_options):
    return x.dim() == 3 and x.shape[-1] % 2 == 0


ATTENTION = [
    Row("attention", lambda q, k, causal: F.scaled_dot_product_attention(
            q, k, k, is_causal=causal), "ff", attends, options={"causal": st.booleans()}),
    Row("attention by hand", plain_attention, "ff", attends, options={"causal": st.booleans()}),
    Row("attention masked", masked_attention, "ff", attends),
    Row("attention biased", lambda q, k, w: F.scaled_dot_product_attention(
            q, k, k, attn_mask=w[: q.shape[1], : k.shape[1]]), "ff", attends,
        weights=lambda q, k: [(q.shape[1], k.shape[1])]),
    Row("attention live bias", lambda q, k: F.scaled_dot_product_attention(
            q, k, k, attn_mask=q.mean(-1, keepdim=True) * k.mean(-1)[:, None]), "ff", attends),
    Row("attention scaled", lambda q, k: F.scaled_dot_product_attention(q, k, k, scale=0.7), "ff",
        attends),
    Row("heads", heads, "ff", both(even, attends)),
    Row("grouped heads", grouped_heads, fits=has_dim(3)),
    Row("multi head", multi_head, fits=even, weights=multi_head_weights),
    Row("rotary", rotary, fits=even),
    Row("alibi", lambda q, k: ((q @ k.mT) - (torch.arange(q.shape[1])[:, None]
            - torch.arange(k.shape[1])).abs()).softmax(-1) @ k, "ff", attends),
]  # fmt: skip
PAIRED_LOSSES = {
    "mse": lambda x, y: F.mse_loss(x, y, reduction="none"),
    "l1": lambda x, y: F.l1_loss(x, y, reduction="none"),
    "smooth l1": lambda x, y: F.smooth_l1_loss(x, y, reduction="none"),
    "huber": lambda x, y: F.huber_loss(x, y, reduction="none", delta=0.5),
    "kl": lambda x, y: F.kl_div(F.log_softmax(x, -1), y.softmax(-1), reduction="none"),
    "bce": lambda x, y: F.binary_cross_entropy_with_logits(x, y.sigmoid(), reduction="none"),
    "bce plain": lambda x, y: F.binary_cross_entropy(x.sigmoid(), y.sigmoid(), reduction="none"),
    "soft margin": lambda x, y: F.soft_margin_loss(x, y.sign(), reduction="none"),
    "poisson": lambda x, y: F.poisson_nll_loss(x, y.abs(), reduction="none"),
    "gaussian": lambda x, y: F.gaussian_nll_loss(x, y, 0.5 + y.square(), reduction="none"),
    "triplet": lambda x, y: F.triplet_margin_loss(x, y, x.flip(-1), reduction="none"),
}
LOSSES = [
    *(Row(f"loss {name}", f, "ff", both(at_least(2), same_shape))
      for name, f in PAIRED_LOSSES.items()),
    Row("loss cross entropy", lambda x: F.cross_entropy(x, x.detach().roll(1, -1).argmax(-1),
            reduction="none"), fits=has_dim(2)),
    Row("loss smoothed", lambda x: F.cross_entropy(x, x.roll(1, -1).softmax(-1), reduction="none",
            label_smoothing=0.1), fits=has_dim(2)),
    Row("loss nll", lambda x: F.nll_loss(F.log_softmax(x, 1), torch.zeros(x.shape[0]).long(),
            reduction="none"), fits=has_dim(2)),
]  # fmt: skip


def recur(x, w, b):
    """A gated recurrence, step by step, over axis 1."""
    state = torch.zeros_like(x[:, 0])
    for i in range(x.shape[1]):
        gate = torch.sigmoid(x[:, i] * w)
        state = gate * state + (1 - gate) * (x[:, i] + b)
    return state


def gru(x, w, v, b, c):
    h = x.new_zeros(x.shape[0], 3)
    for i in range(x.shape[1]):
        h = torch.gru_cell(x[:, i], h, w, v, b, c)
    return h


def lstm(x, w, v, b, c):
    state = (x.new_zeros(1, x.shape[0], 2), x.new_zeros(1, x.shape[0], 2))
    return torch.lstm(x, state, [w, v, b, c], True, 1, 0.0, False, False, True)[0]


RECURRENT = [
    Row("recurrence", recur, fits=has_dim(3), weights=last_twice),
    Row("gru cell", gru, fits=has_dim(3), reordered=True,
        weights=lambda x: [(9, x.shape[2]), (9, 3), (9,), (9,)]),
    Row("lstm", lstm, fits=has_dim(3), reordered=True,
        weights=lambda x: [(8, x.shape[2]), (8, 2), (8,), (8,)]),
]  # fmt: skip
ROWS = [*NORMS, *ATTENTION, *LOSSES, *RECURRENT]
