"""Sums, extremes, norms and moments over an axis; running ones; order statistics."""

import torch
from hypothesis import strategies as st
from torch.nn import functional as F

from tests.fuzz.rows import Row, at_least, axes, axis_of, both, table

options = {"axis": axes, "keep": st.booleans()}
axis = {"axis": axes}


def longer(count):
    """The axis has more than so many entries."""
    return both(at_least(2), lambda x, axis, **_: x.shape[axis_of(x, axis)] > count)


def reduced(function):
    return lambda x, axis, keep: function(x, dim=axis_of(x, axis), keepdim=keep)


OVER_AXIS = table(
    {
        **{
            name: reduced(getattr(torch, name))
            for name in ["sum", "mean", "amax", "amin", "prod", "logsumexp", "nansum", "nanmean"]
        },
        "max": lambda x, axis, keep: x.max(axis_of(x, axis), keepdim=keep).values,
        "min": lambda x, axis, keep: x.min(axis_of(x, axis), keepdim=keep)[0],
        "median": lambda x, axis, keep: x.median(axis_of(x, axis), keepdim=keep).values,
        "norm": lambda x, axis, keep: x.norm(dim=axis_of(x, axis), keepdim=keep),
        "norm 1": lambda x, axis, keep: x.norm(1, axis_of(x, axis), keep),
        "vector norm 3": lambda x, axis, keep: torch.linalg.vector_norm(
            x, 3, axis_of(x, axis), keep
        ),
        "vector norm inf": lambda x, axis, keep: torch.linalg.vector_norm(
            x, float("inf"), axis_of(x, axis), keep
        ),
        "norm 0": lambda x, axis, keep: x.norm(0, axis_of(x, axis), keep),
        "aminmax": lambda x, axis, keep: (
            torch.aminmax(x, dim=axis_of(x, axis), keepdim=keep).max
            - torch.aminmax(x, dim=axis_of(x, axis), keepdim=keep).min
        ),
        "mode": lambda x, axis, keep: torch.mode(x, axis_of(x, axis), keep).values,
        "quantile": lambda x, axis, keep: torch.quantile(x, 0.3, axis_of(x, axis), keep),
        "count": lambda x, axis, keep: x * (x > 0).sum(axis_of(x, axis), keepdim=True),
        "any": lambda x, axis, keep: x * (x > 0).any(axis_of(x, axis), keepdim=True),
    },
    fits=at_least(2),
    options=options,
)
MOMENTS = table(
    {
        "std": reduced(torch.std),
        "var": reduced(torch.var),
        "var biased": lambda x, axis, keep: x.var(axis_of(x, axis), correction=0, keepdim=keep),
        "var mean": lambda x, axis, keep: sum(torch.var_mean(x, axis_of(x, axis), keepdim=keep)),
        "std mean": lambda x, axis, keep: sum(torch.std_mean(x, axis_of(x, axis), keepdim=keep)),
    },
    fits=longer(1),
    options=options,
)
RUNNING = table(
    {
        "cumsum": lambda x, axis: x.cumsum(axis_of(x, axis)),
        "cumprod": lambda x, axis: x.cumprod(axis_of(x, axis)),
        "cummax": lambda x, axis: x.cummax(axis_of(x, axis)).values,
        "cummin": lambda x, axis: x.cummin(axis_of(x, axis))[0],
        "logcumsumexp": lambda x, axis: x.logcumsumexp(axis_of(x, axis)),
        "softmax": lambda x, axis: x.softmax(axis_of(x, axis)),
        "softmin": lambda x, axis: F.softmin(x, axis_of(x, axis)),
        "log softmax": lambda x, axis: F.log_softmax(x, axis_of(x, axis)),
        "normalise": lambda x, axis: F.normalize(x, dim=axis_of(x, axis)),
        "softmax by hand": lambda x, axis: (
            torch.exp(x - x.amax(axis_of(x, axis), keepdim=True))
            / torch.exp(x - x.amax(axis_of(x, axis), keepdim=True)).sum(
                axis_of(x, axis), keepdim=True
            )
        ),
        "sort": lambda x, axis: x.sort(axis_of(x, axis)).values,
        "sort down": lambda x, axis: torch.sort(
            x, dim=axis_of(x, axis), descending=True, stable=True
        )[0],
        "msort": lambda x, axis: torch.msort(x.transpose(0, axis_of(x, axis))).transpose(
            0, axis_of(x, axis)
        ),
        "argsorted": lambda x, axis: x.gather(axis_of(x, axis), x.argsort(axis_of(x, axis))),
        "argmax gathered": lambda x, axis: x.gather(
            axis_of(x, axis), x.argmax(axis_of(x, axis), keepdim=True)
        ),
        "top 1": lambda x, axis: x.topk(1, axis_of(x, axis)).values,
        "first": lambda x, axis: torch.kthvalue(x, 1, axis_of(x, axis)).values,
        "gumbel free": lambda x, axis: (x / 0.5).softmax(axis_of(x, axis)) * x,
    },
    fits=at_least(2),
    options=axis,
)
CHOSEN = [
    Row("topk", lambda x, axis, largest: x.topk(2, axis_of(x, axis), largest=largest).values,
        fits=longer(1), options={"axis": axes, "largest": st.booleans()}),
    Row("topk mask", lambda x, axis: torch.zeros_like(x).scatter(
            axis_of(x, axis), x.topk(2, axis_of(x, axis)).indices, 1.0) * x,
        fits=longer(1), options=axis),
    Row("topk gates", lambda x, axis: torch.zeros_like(x).scatter(
            axis_of(x, axis), x.topk(2, axis_of(x, axis)).indices,
            x.topk(2, axis_of(x, axis)).values.softmax(axis_of(x, axis))),
        fits=longer(1), options=axis),
    Row("kthvalue", lambda x, axis: torch.kthvalue(x, 2, axis_of(x, axis), True).values,
        fits=longer(1), options=axis),
    Row("sum all", lambda x: x.sum(tuple(range(1, x.dim()))), fits=at_least(2)),
    Row("mean axes", lambda x: x.mean((-2, -1), keepdim=True), fits=at_least(3)),
    Row("amax axes", lambda x: x.amax((-2, -1)), fits=at_least(3)),
    Row("renormed", lambda x: torch.renorm(x, 2, 0, 1.0), fits=at_least(2)),
    Row("trapezoid", lambda x, axis: torch.trapezoid(x, dim=axis_of(x, axis)), fits=longer(1),
        options=axis),
    Row("cumulative trapezoid", lambda x, axis: torch.cumulative_trapezoid(x, dim=axis_of(x, axis)),
        fits=longer(1), options=axis),
]  # fmt: skip
ROWS = [*OVER_AXIS, *MOMENTS, *RUNNING, *CHOSEN]
