"""Slow definitions for the linear recurrence: one product and one sum after the other, as R."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lrp_engine.method.call import Call

from .measuring import Relevance

# (part, other part, whole) -> the part's share of the relevance of the whole
Share = Callable[[Tensor, Tensor, Tensor], Tensor]


def walked(call: Call, c: Tensor, at_sum: Share, at_product: Share) -> Relevance:
    """Relevance of every step's decay and inflow, from the last step visited to the first."""
    a, b, arrives = (x.movedim(call["dim"], 0) for x in (call["decay"], call["inflow"], c))
    order = list(range(len(a)))[:: -1 if call["reverse"] else 1]
    states, h = {}, torch.zeros_like(b[0])
    for t in order:
        before, h = h, a[t] * h + b[t]
        states[t] = (before, h)
    found = {"decay": torch.zeros_like(a), "inflow": torch.zeros_like(b)}
    carried = torch.zeros_like(b[0])
    for t in reversed(order):
        before, h = states[t]
        R = arrives[t] * h + carried
        product = a[t] * before
        found["inflow"][t] = R * at_sum(b[t], product, h)
        to_product = R * at_sum(product, b[t], h)
        if t == order[0]:
            break  # a product with zero: it has no relevance
        if call.is_live("decay"):
            found["decay"][t] = to_product * at_product(a[t], before, product)
            carried = to_product * at_product(before, a[t], product)
        else:
            carried = to_product
    return {o: found[o.name].movedim(0, call["dim"]) for o in call.live}


def as_it_adds_up(part: Tensor, other: Tensor, whole: Tensor) -> Tensor:
    return part / whole


def half(part: Tensor, other: Tensor, whole: Tensor) -> Tensor:
    return torch.full_like(part, 0.5)


def all_of_it(part: Tensor, other: Tensor, whole: Tensor) -> Tensor:
    return torch.ones_like(part)


def uniform(call: Call, c: Any) -> Relevance:
    """Achtibat et al. 2024, prop. 3.3 at every product."""
    return walked(call, c, as_it_adds_up, half)


def gradient(call: Call, c: Any) -> Relevance:
    """Every factor of a product gets all."""
    return walked(call, c, as_it_adds_up, all_of_it)


def norm(call: Call, c: Any, stabiliser: float) -> Relevance:
    """Bach et al. 2015, eq. 58 at every sum."""
    return walked(call, c, lambda x, _, z: x / (z + stabiliser * torch.sign(z)), half)


def magnitude(call: Call, c: Any, stabiliser: float) -> Relevance:
    """|x| / (|x| + |y|) at every sum and product."""

    def share(x: Tensor, y: Tensor, _: Tensor) -> Tensor:
        return x.abs() / (x.abs() + y.abs() + stabiliser)

    return walked(call, c, share, share)
