"""Reads by index in all forms, and functional writes: gather, scatter, index_put and kin."""

import torch
from hypothesis import strategies as st

from tests.fuzz.rows import Row, at_least, axes, axis_of, both, has_dim, same_shape, table

axis = {"axis": axes}


def order(x, axis=-1):
    """Some places along an axis, the first twice; a constant of the model."""
    size = x.shape[axis_of(x, axis) if axis >= 0 else -1]
    return torch.tensor([size - 1, 0, 0])


def places(x, axis):
    """A place per entry along an axis, (batch, ...), from what x is."""
    size = x.shape[axis_of(x, axis)]
    return (x * 10).long().abs() % size


READS = table(
    {
        "slice": lambda x: x[:, 1:] if x.shape[1] > 1 else x[:, :1],
        "stepped": lambda x: x[..., ::2],
        "last": lambda x: x[..., -1:],
        "ellipsis none": lambda x: x[..., None, :],
        "select": lambda x: x[:, 0],
        "list": lambda x: x[:, [0, -1, 0]],
        "tensor index": lambda x: x[..., order(x)],
        "two tensors": lambda x: (
            x[:, order(x, 0)][..., order(x[:, :1])] if x.dim() > 2 else x[:, order(x)]
        ),
        "tensor and slice": lambda x: x[:, order(x, 0), ...],
        "batch and tensor": lambda x: x[torch.arange(x.shape[0])[:, None], order(x, 0)],
        "batch and last": lambda x: x[torch.arange(x.shape[0]), -1],
        "index select": lambda x: x.index_select(-1, order(x)),
        "constant mask": lambda x: x[:, torch.arange(x.shape[1]) % 2 == 0],
        "constant nonzero": lambda x: x.index_select(
            1, (torch.arange(x.shape[1]) % 2 == 0).nonzero()[:, 0]
        ),
        "nonzero gather": lambda x: torch.take_along_dim(
            x, (torch.arange(x.shape[1]) % 2 == 0).nonzero().view(1, -1, *[1] * (x.dim() - 2)), 1
        ),
        "take": lambda x: torch.take_along_dim(x, order(x).expand(*x.shape[:-1], 3), -1),
        "negative": lambda x: x[:, torch.tensor([-1, 0])],
        "data index": lambda x: x.gather(1, places(x, 0)),
        "data rows": lambda x: x[torch.arange(x.shape[0]), places(x, 0).flatten(1)[:, 0]],
        "one hot read": lambda x: (x * torch.nn.functional.one_hot(x.argmax(-1), x.shape[-1])).sum(
            -1
        ),
        "bucketed": lambda x: x * torch.bucketize(x, torch.tensor([-0.5, 0.0, 0.5]).double()),
        "searched": lambda x: (
            x + torch.searchsorted(torch.tensor([-0.5, 0.0, 0.5]).double(), x.contiguous())
        ),
    },
    fits=at_least(2),
)
WRITES = table(
    {
        "scatter add": lambda x, axis: x.scatter_add(axis_of(x, axis), places(x, axis), x * 0.5),
        "scatter value": lambda x, axis: x.scatter(axis_of(x, axis), places(x, axis), 0.25),
        "scatter mean": lambda x, axis: x.scatter_reduce(
            axis_of(x, axis), places(x, axis), x * 0.5, "mean"
        ),
        "scatter max": lambda x, axis: x.scatter_reduce(
            axis_of(x, axis), places(x, axis), x * 0.5, "amax", include_self=True
        ),
        "scatter fresh": lambda x, axis: torch.zeros_like(x).scatter_reduce(
            axis_of(x, axis), places(x, axis), x, "sum", include_self=False
        ),
        "index add": lambda x, axis: x.index_add(
            axis_of(x, axis), order(x, axis), x.index_select(axis_of(x, axis), order(x, axis))
        ),
        "index copy": lambda x, axis: x.index_copy(
            axis_of(x, axis),
            torch.tensor([0]),
            2 * x.index_select(axis_of(x, axis), torch.tensor([0])),
        ),
        "index fill": lambda x, axis: x.index_fill(axis_of(x, axis), torch.tensor([0]), 0.5),
        "select scatter": lambda x, axis: x.select_scatter(
            2 * x.select(axis_of(x, axis), 0), axis_of(x, axis), 0
        ),
        "slice scatter": lambda x, axis: x.slice_scatter(
            3 * x.narrow(axis_of(x, axis), 0, 1), axis_of(x, axis), 0, 1
        ),
        "index reduce": lambda x, axis: x.index_reduce(
            axis_of(x, axis),
            torch.tensor([0]),
            x.narrow(axis_of(x, axis), 0, 1),
            "amax",
        ),
    },
    fits=at_least(2),
    options=axis,
)
PUTS = [
    # Where a place is written twice, torch's derivative is wrong: it says so itself.
    Row("scatter", lambda x, axis: torch.zeros_like(x).scatter(axis_of(x, axis), places(x, axis),
            x), fits=at_least(2), options=axis, derivable=False),
    Row("index put", lambda x: x.index_put(
            (torch.arange(x.shape[0])[:, None], order(x, 0)), x[:, :1].expand(-1, 3, *x.shape[2:]),
            accumulate=True), fits=at_least(2)),
    Row("masked scatter each", lambda x: x.masked_scatter(
            torch.ones_like(x, dtype=torch.bool), 2 * x), fits=at_least(2)),
    Row("diagonal scatter", lambda x: torch.diagonal_scatter(
            x, 2 * torch.diagonal(x, dim1=-2, dim2=-1), dim1=-2, dim2=-1), fits=at_least(3)),
    Row("gather by other", lambda x, y, axis: x.gather(axis_of(x, axis), places(y, axis)), "ff",
        both(at_least(2), same_shape), options=axis),
    Row("scatter to other", lambda x, y, axis: x.scatter(axis_of(x, axis), places(y, axis), y),
        "ff", both(at_least(2), same_shape), options=axis, derivable=False),
    Row("put by mask", lambda x, y: torch.where(y > 0, x, y), "ff", same_shape),
    Row("take sorted", lambda x, y: x.take_along_dim(y.argsort(-1), -1), "ff",
        both(at_least(2), same_shape)),
    Row("grid of places", lambda x, k: x[:, :, torch.arange(x.shape[2]).clamp(max=k)],
        fits=has_dim(3, 4), options={"k": st.integers(0, 2)}),
]  # fmt: skip
ROWS = [*READS, *WRITES, *PUTS]
