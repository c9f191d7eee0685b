"""Integer paths: arithmetic on ids, look-ups in every spelling, integers that become numbers."""

import torch
from torch.nn import functional as F

from tests.fuzz.rows import Row, at_least, both, bounded, table

TABLE = 24  # rows of every table
small = bounded(0, TABLE)

ARITHMETIC = table(
    {
        "ids plus": lambda i: i + 2,
        "ids times": lambda i: i * 2,
        "ids from": lambda i: 9 - i.clamp(max=9),
        "ids modulo": lambda i: i % 4,
        "ids divided": lambda i: i // 2,
        "ids clamped": lambda i: i.clamp(1, 6),
        "ids where": lambda i: torch.where(i > 4, i, torch.zeros_like(i)),
        "ids filled": lambda i: i.masked_fill(i == 1, 0),
        "ids cast": lambda i: i.int().long(),
        "ids prefixed": lambda i: torch.cat([i.new_zeros(i.shape[0], 1), i.flatten(1)], 1),
        "ids shifted": lambda i: _shifted(i),
        "ids in place": lambda i: i.clone().add_(1),
        "ids flipped": lambda i: i.flip(-1),
        "ids sorted": lambda i: i.sort(-1).values,
        "ids summed": lambda i: i.cumsum(-1) % 8,
        "ids unequal": lambda i: (i != 3).long(),
        "ids positions": lambda i: ((i != 0).cumsum(-1) * (i != 0)).long(),
        "ids xor": lambda i: i ^ 1,
        "ids shift left": lambda i: (i << 1) & 7,
        "ids looked up": lambda i: torch.arange(TABLE).flip(0)[i % TABLE],
        "ids max": lambda i: torch.maximum(i, i.roll(1, -1)),
        "ids remainder": lambda i: torch.remainder(i + 3, 5),
        "ids gathered": lambda i: i.gather(-1, i % i.shape[-1]),
        "ids through float": lambda i: (i.double() * 0.5).long(),
    },
    operands="i",
    fits=at_least(2),
)


def _shifted(ids):
    out = ids.new_zeros(ids.shape)
    out[..., 1:] = ids[..., :-1].clone()
    out[..., 0] = 2
    return out


def to_table(*_operands, **_options):
    return [(TABLE, 4)]


def bag(ids, w):
    return F.embedding_bag(ids.flatten(1), w, mode="mean")


def bag_with_offsets(ids, w):
    flat = ids.flatten(1)
    offsets = torch.arange(flat.shape[0]) * flat.shape[1]
    return F.embedding_bag(flat.flatten(), w, offsets, mode="sum")


def bag_with_weights(ids, w):
    flat = ids.flatten(1)
    return F.embedding_bag(flat, w, mode="sum", per_sample_weights=torch.ones_like(flat).double())


LOOK_UPS = [
    *table(
        {
            "embedding": lambda i, w: F.embedding(i, w),
            "embedding padded": lambda i, w: F.embedding(i, w, padding_idx=0),
            "table[ids]": lambda i, w: w[i],
            "table[ids, :]": lambda i, w: w[i, :],
            "table index select": lambda i, w: w.index_select(0, i.flatten()).view(*i.shape, 4),
            "table one hot": lambda i, w: F.one_hot(i, TABLE).to(w.dtype) @ w,
            "table gather": lambda i, w: w.gather(
                0, i.flatten()[:, None].expand(-1, 4)
            ).view(*i.shape, 4),
            "table take": lambda i, w: torch.take(w[:, 0], i),
            "bag": bag,
            "bag offsets": bag_with_offsets,
            "bag weights": bag_with_weights,
            "bag max": lambda i, w: F.embedding_bag(i.flatten(1), w, mode="max"),
        },
        operands="i",
        fits=both(at_least(2), small),
        weights=to_table,
        looks_up=True,
    ),
    Row("embedding of sum", lambda i, w: F.embedding(i.sum(-1) % TABLE, w), "i", at_least(2),
        weights=to_table, looks_up=True),
    Row("two tables", lambda i, w, v: F.embedding(i, w) + F.embedding(i, v), "i",
        both(at_least(2), small), weights=lambda i: [(TABLE, 4)] * 2, looks_up=True),
    Row("padding pooled", lambda i, w: (F.embedding(i, w) * (i != 0)[..., None]).sum(1)
        / (i != 0).sum(1, keepdim=True).clamp(min=1)[..., None].squeeze(-1), "i",
        both(small, lambda i: i.dim() == 2), weights=to_table, looks_up=True),
]  # fmt: skip
NUMBERS = [
    *table(
        {
            "to number": lambda i: i.double() / 9,
            "one hot number": lambda i: F.one_hot(i % 5, 5).double(),
            "mask number": lambda i: (i > 3).double(),
        },
        operands="i",
    ),
    Row("number by promotion", lambda i: (i * 0.25).double(), "i", coarse=True),
    Row("number by division", lambda i: (i / 8).double(), "i", coarse=True),
    Row("times table of numbers", lambda i, w: i.double()[..., None] * w, "i",
        weights=lambda i: [(4,)]),
]  # fmt: skip
FROM_FLOATS = [
    *table(
        {
            "to ids": lambda x: (x * 2).long().abs() % 9,
            "argmax": lambda x: x.argmax(-1),
            "argsort": lambda x: x.argsort(-1),
            "signs": lambda x: (x > 0).long(),
            "rounded ids": lambda x: torch.round(x).clamp(0, 5).to(torch.int64),
        },
        fits=at_least(2),
    ),
    Row("scaled by ids", lambda x, i: x * i.flatten(1)[:, :1], "fi",
        lambda x, i: x.dim() == 2 and i.dim() > 1),
    Row("gather by ids", lambda x, i: x.gather(1, i % x.shape[1]), "fi",
        lambda x, i: x.dim() == i.dim() == 2),
    Row("added at ids", lambda x, i: x.scatter_add(1, i % x.shape[1], x[:, : i.shape[1]]), "fi",
        lambda x, i: x.dim() == i.dim() == 2 and i.shape[1] <= x.shape[1]),
]  # fmt: skip
ROWS = [*ARITHMETIC, *LOOK_UPS, *NUMBERS, *FROM_FLOATS]
