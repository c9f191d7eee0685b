"""Control by masks: comparisons, logic, what masks do to values; and random draws."""

import torch
from torch.nn import functional as F

from tests.fuzz.rows import Row, at_least, both, same_shape, table

MADE = [
    *table(
        {
            "above zero": lambda x: x > 0,
            "at most half": lambda x: x <= 0.5,
            "above mean": lambda x: x > x.mean(-1, keepdim=True),
            "is max": lambda x: x == x.amax(-1, keepdim=True),
            "near": lambda x: torch.isclose(x, x.round(), atol=0.2),
            "finite": lambda x: torch.isfinite(x),
        },
        fits=at_least(2),
    ),
    *table(
        {"greater": torch.gt, "not equal": torch.ne, "less": lambda x, y: x < y},
        operands="ff",
        fits=same_shape,
    ),
    *table(
        {"not padding": lambda i: i != 0, "is two": lambda i: torch.isin(i, torch.tensor([2, 4]))},
        operands="i",
    ),
]
LOGIC = [
    *table({"not": torch.logical_not, "cumulative": lambda m: m.long().cumsum(-1) > 1},
           operands="b", fits=at_least(2)),
    *table({"and": torch.logical_and, "or": lambda m, n: m | n, "xor": torch.logical_xor},
           operands="bb", fits=same_shape),
]  # fmt: skip
USED = table(
    {
        "masked fill": lambda x, m: x.masked_fill(m, 0.5),
        "masked out": lambda x, m: torch.where(m, x, 0.0),
        "where scalar": lambda x, m: torch.where(m, 0.25, x),
        "times mask": lambda x, m: x * m,
        "times not mask": lambda x, m: x * (~m).double(),
        "masked softmax": lambda x, m: x.masked_fill(m, -1e9).softmax(-1),
        "masked mean": lambda x, m: (x * m).sum(-1) / m.sum(-1).clamp(min=1),
        "masked write": lambda x, m: _written(x, m),
        "masked max": lambda x, m: x.masked_fill(m, -1e4).amax(-1).clamp(min=-2),
        "infinite mask": lambda x, m: torch.where(m, x, float("-inf")).softmax(-1).nan_to_num(0.0),
        "masked scatter": lambda x, m: torch.where(m, x.flip(-1), x),
    },
    operands="fb",
    fits=both(at_least(2), same_shape),
)


def _written(x, mask):
    y = x.clone()
    y[mask] = 0.5
    return y


BLENDED = [
    Row("where mask", lambda x, y, m: torch.where(m, x, y), "ffb", same_shape),
    Row("blend", lambda x, y, m: x * m + y * ~m, "ffb", same_shape),
    Row("mask as number", lambda m: m.double(), "b"),
]
DRAWS = [
    *table(
        {
            "noise": lambda x: x + 0.1 * torch.randn_like(x),
            "noise times": lambda x: x * torch.rand_like(x),
            "dropout": lambda x: F.dropout(x, 0.3, training=True),
            "dropout by hand": lambda x: x * torch.bernoulli(torch.full_like(x, 0.7)) / 0.7,
            "gumbel": lambda x: F.gumbel_softmax(x, dim=-1),
            "gumbel hard": lambda x: F.gumbel_softmax(x, hard=True, dim=-1) * x,
            "alpha dropout": lambda x: F.alpha_dropout(x, 0.3, training=True),
            "drop path": lambda x: x * (torch.rand(x.shape[0], *[1] * (x.dim() - 1)) < 0.8) / 0.8,
            "shuffled": lambda x: x[:, torch.randperm(x.shape[1])],
            "normal": lambda x: torch.normal(x, 0.1),
            "reparametrised": lambda x: x + F.softplus(x) * torch.empty_like(x).normal_(),
            "multinomial": lambda x: x.gather(1, torch.multinomial(x.softmax(1), 1)),
        },
        fits=lambda x: x.dim() >= 2,
        draws=True,
    )
]
ROWS = [*MADE, *LOGIC, *USED, *BLENDED, *DRAWS]
