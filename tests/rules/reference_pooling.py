"""Slow definitions for max pooling as a sum: a loop over every window."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from lrp_engine.method.call import Call

from .measuring import Relevance

Place = tuple[int, ...]


def settings(call: Call, name: str, n: int) -> list[int]:
    given = call[name]
    items = list(given) if isinstance(given, (list, tuple)) else [given]
    return items * n if len(items) == 1 else items


def window(call: Call, shape: Place, at: Place) -> Iterator[Place]:
    """The places that a window covers, those in the padding left out."""
    n = len(at)
    kernel = settings(call, "kernel_size", n)
    stride = settings(call, "stride", n) or kernel
    padding, dilation = settings(call, "padding", n), settings(call, "dilation", n)
    for offset in itertools.product(*map(range, kernel)):
        place = tuple(
            a * s - p + o * d
            for a, s, p, o, d in zip(at, stride, padding, offset, dilation, strict=True)
        )
        if all(0 <= q < size for q, size in zip(place, shape, strict=True)):
            yield place


def by_windows(call: Call, c: Any, share: Callable[[Tensor], Tensor]) -> Relevance:
    """Every window's relevance, shared out over its entries."""
    (operand,) = call.live
    x = call.operand(operand)
    out, c = (call.out, c) if isinstance(c, Tensor) else (call.out[0], c[0])
    n = {"1": 1, "2": 2, "3": 3}[str(call.op.target).split("max_pool")[1][0]]
    back = torch.zeros_like(x)
    for lead in itertools.product(*map(range, x.shape[:-n])):
        for at in itertools.product(*map(range, out.shape[-n:])):
            places = list(window(call, tuple(x.shape[-n:]), at))
            shares = share(torch.stack([x[(*lead, *place)] for place in places]))
            for place, part in zip(places, shares, strict=True):
                back[(*lead, *place)] += part * out[(*lead, *at)] * c[(*lead, *at)]
    return {operand: back}


def proportional(call: Call, c: Any, stabiliser: float) -> Relevance:
    """x_i / sum of x."""
    return by_windows(
        call, c, lambda x: x / (x.sum() + (stabiliser if x.sum() >= 0 else -stabiliser))
    )


def takes_most(call: Call, c: Any, beta: float) -> Relevance:
    """exp(beta x_i) / sum of exp(beta x)."""
    return by_windows(call, c, lambda x: torch.exp(beta * x) / torch.exp(beta * x).sum())
