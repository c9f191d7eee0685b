"""Ways to mix the gradient's score g and delta's score d, tried for `delta_plus`: g + w (d - g).

What a component changes alone is, to first order in its own effect, g; what all change together is
d. If the coefficient varies linearly along the path between the runs, and the component alone goes
as far along it as its share of the gap, the mean coefficient on that part of the path is g + share
(d - g): w = share. The other forms vary that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from lrp_engine.circuits import Scores

# Takes g / gap and d / gap, returns w.
Weigh = Callable[[Tensor, Tensor], Tensor]


def fixed_point(factor: float) -> Weigh:
    """The weight that the mixed score itself gives: w = min(1, factor |s| / gap)."""

    def weigh(g: Tensor, d: Tensor) -> Tensor:
        w = (factor * d.abs()).clamp(max=1)
        for _ in range(30):
            w = 0.5 * w + 0.5 * (factor * (g + w * (d - g)).abs()).clamp(max=1)
        return w

    return weigh


WEIGHTS: dict[str, Weigh] = {
    "abs d": lambda g, d: d.abs().clamp(max=1),
    "1.5 abs d": lambda g, d: (1.5 * d.abs()).clamp(max=1),
    "2 abs d": lambda g, d: (2 * d.abs()).clamp(max=1),
    "3 abs d": lambda g, d: (3 * d.abs()).clamp(max=1),
    "4 abs d": lambda g, d: (4 * d.abs()).clamp(max=1),
    "8 abs d": lambda g, d: (8 * d.abs()).clamp(max=1),
    "d": lambda g, d: d.clamp(0, 1),
    "1.5 d": lambda g, d: (1.5 * d).clamp(0, 1),
    "2 d": lambda g, d: (2 * d).clamp(0, 1),
    "3 d": lambda g, d: (3 * d).clamp(0, 1),
    "4 d": lambda g, d: (4 * d).clamp(0, 1),
    "sqrt abs d": lambda g, d: d.abs().sqrt().clamp(max=1),
    "d^2": lambda g, d: d.square().clamp(max=1),
    "tanh 2 abs d": lambda g, d: torch.tanh(2 * d.abs()),
    "1 - exp(-4 abs d)": lambda g, d: 1 - torch.exp(-4 * d.abs()),
    "abs d / (abs d + 1/4)": lambda g, d: d.abs() / (d.abs() + 0.25),
    "max(abs g, abs d)": lambda g, d: torch.maximum(g.abs(), d.abs()).clamp(max=1),
    "2 max(abs g, abs d)": lambda g, d: (2 * torch.maximum(g.abs(), d.abs())).clamp(max=1),
    "min(abs g, abs d)": lambda g, d: torch.minimum(g.abs(), d.abs()).clamp(max=1),
    "2 min(abs g, abs d)": lambda g, d: (2 * torch.minimum(g.abs(), d.abs())).clamp(max=1),
    "abs g + abs d": lambda g, d: (g.abs() + d.abs()).clamp(max=1),
    "abs s": fixed_point(1.0),
    "2 abs s": fixed_point(2.0),
    "4 abs s": fixed_point(4.0),
    "1/2": lambda g, d: torch.full_like(d, 0.5),
}


def mix(gradient: Scores, delta: Scores, weigh: Weigh) -> Scores:
    """The scores that a weight gives, component by component and prompt by prompt."""
    gap = delta.clean - delta.corrupt
    values = {}
    for name, d in delta.values.items():
        g, whole = gradient[name], gap.reshape(-1, *([1] * (d.dim() - 1)))
        values[name] = g + weigh(g / whole, d / whole) * (d - g)
    return replace(delta, estimator="mixed", values=values)
