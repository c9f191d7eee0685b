"""In-place writes: through views, slices and aliases, to fresh values and to shared ones."""

import torch
from torch.nn import functional as F

from tests.fuzz.rows import Row, at_least, both, same_shape


def through_view(x):
    y = x.contiguous().clone()
    y.view(y.shape[0], -1)[:, ::2].mul_(2)
    return y


def through_transpose(x):
    y = x.clone()
    y.transpose(1, -1)[:, :1].add_(1)
    return y


def after_read(x):
    y = x * 2
    before = y + 1
    y.mul_(3)
    return before + y


def after_read_by_view(x):
    y = x * 2
    first = y[:, :1]
    y.add_(1)
    return y * first  # the view has changed too


def through_dropout(x):
    y = x * 1.5
    alias = F.dropout(y, 0.5, training=False)
    y.add_(1)
    return alias + y


def through_alias(x):
    y = x * 1.5
    same = y.contiguous()  # the same tensor
    y.mul_(2)
    return same


def through_reshape(x):
    y = x * 1.5
    flat = y.reshape(y.shape[0], -1)
    flat[:, 0] = 0.25
    return y


def through_chunks(x):
    y = x.clone()
    for i, part in enumerate(y.chunk(2, 1)):
        part.mul_(i + 1)
    return y


def through_unbind(x):
    y = x.clone()
    y.unbind(1)[0].zero_()
    return y


def to_diagonal(x):
    y = x.clone()
    torch.diagonal(y, dim1=-2, dim2=-1).fill_(0.5)
    return y


def to_slice(x):
    y = x.clone()
    y[:, 0] = y[:, -1] * 2
    return y


def to_zeros(x):
    y = torch.zeros_like(x)
    y[:, :1] = x[:, :1]
    y[..., -1] += x[..., 0]
    return y


def to_new(x):
    y = x.new_zeros(x.shape[0], 2, *x.shape[1:])
    y[:, 0] = x
    y[:, 1].copy_(x * 2)
    return y


def by_mask(x):
    y = x.clone()
    y[y < 0] = 0.25
    return y


def by_mask_scaled(x):
    y = x.clone()
    y[x > 0] *= 2
    return y


def by_masked_fill(x):
    return x.clone().masked_fill_(x > 0.5, 0.5).clamp_(min=-0.5)


def by_index(x):
    y = x.clone()
    y[:, torch.tensor([0, -1])] = x[:, :1] * 3
    return y


def by_index_put(x):
    y = x.clone()
    rows = torch.arange(x.shape[0])[:, None]
    return y.index_put_((rows, torch.tensor([0, 0])), x[:, :1].expand(-1, 2, *x.shape[2:]), True)


def by_scatter(x):
    y = torch.zeros_like(x)
    return y.scatter_add_(1, (x > 0).long() % x.shape[1], x)


def by_index_add(x):
    return x.clone().index_add_(1, torch.tensor([0]), x[:, -1:])


def loop(x):
    y = torch.empty_like(x)
    state = torch.zeros_like(x[:, 0])
    for i in range(x.shape[1]):
        state = torch.tanh(state * 0.5 + x[:, i])
        y[:, i] = state
    return y


def running_sum(x):
    y = x.clone()
    for i in range(1, x.shape[1]):
        y[:, i] += y[:, i - 1]
    return y


def swapped(x):
    y = x.clone()
    first = y[:, 0].clone()
    y[:, 0] = y[:, -1]
    y[:, -1] = first
    return y


def expanded_source(x):
    y = x.clone()
    y.copy_(x.mean(1, keepdim=True))
    y.sub_(x, alpha=0.5)
    return y


def activations(x):
    return F.elu_(F.relu_(x - 0.1) - 0.2).sigmoid_().mul_(x)


def add_out(x):
    y = torch.empty_like(x)
    torch.mul(x, 2, out=y)
    return y


def squeezed(x):
    y = (x * 2).unsqueeze(1)
    y.squeeze_(1).neg_()
    return y


def written_twice(x):
    y = x.clone()
    a, b = y[:, :1], y[..., :1]
    a.add_(1)
    b.mul_(2)
    return y - a


def data_write(x):
    y = x * 2
    y.detach()[:, :1] = 0.5
    return y + x


FRESH = [
    *(Row(f"write {f.__name__.replace('_', ' ')}", f, fits=at_least(2))
    for f in (
        through_view, through_transpose, after_read, after_read_by_view, through_dropout,
        through_alias, through_reshape, through_chunks, through_unbind, to_slice, to_zeros, to_new,
        by_mask, by_mask_scaled, by_masked_fill, by_index, by_index_put, by_scatter, by_index_add,
        loop, running_sum, swapped, expanded_source, activations, add_out, squeezed, written_twice,
    )),
    Row("write detached", data_write, fits=at_least(2), derivable=False),
]  # fmt: skip


def add_to(x, y):
    return x.add_(y)


def write_into(x, y):
    x[:, 0] = y[:, 0] * 2
    return x


def fill_where(x, y):
    return x.masked_fill_(y > 0, 0.25)


def scale_shared(x):
    return x.mul_(0.5)


def relu_shared(x):
    return F.relu(x, inplace=True)


SHARED = [
    Row("write shared scale", scale_shared),
    Row("write shared relu", relu_shared),
    Row("write shared add", add_to, "ff", same_shape),
    Row("write shared slice", write_into, "ff", both(at_least(2), same_shape)),
    Row("write shared mask", fill_where, "ff", same_shape),
    Row("write to diagonal", to_diagonal, fits=at_least(3)),
]
ROWS = [*FRESH, *SHARED]
