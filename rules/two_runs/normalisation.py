"""Serve normalisations, their scale included: exact in both runs' means.

With u the (centred) entries and r = 1/sqrt(mean u^2 + eps), the normalised u r is a product, and
r_b - r_a = -(v_b - v_a) r_a^2 r_b^2 / (r_a + r_b) for the mean squares v.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from lrp_engine.kernels.two_run_norm import normalised, two_run_norm
from lrp_engine.method.call import Arriving, Call, Coefficients, at_result
from lrp_engine.method.op import Normalisation
from lrp_engine.method.relevance import widen
from lrp_engine.method.rule import rule
from lrp_engine.rules.two_runs.runs import choice, over_settings


class Layout(NamedTuple):
    """Describe how a normalisation arranges its input.

    `rows` moves what is normalised together to a last axis, `back` undoes that; `along` spreads a
    weight over the input's shape.
    """

    rows: Callable[[Tensor], Tensor]
    back: Callable[[Tensor], Tensor]
    along: Callable[[Tensor], Tensor]
    centred: bool = True


def layout_of(call: Call[Normalisation]) -> Layout:
    """Return the layout of a layer, RMS, group, batch or instance norm."""
    x, shape = call["input"], call["input"].shape
    if "normalized_shape" in call.arguments:
        n = len(call["normalized_shape"])
        centred = "bias" in call.arguments
        return Layout(lambda t: t.flatten(-n), lambda t: t.reshape(shape), lambda w: w, centred)

    def channels(w: Tensor) -> Tensor:
        return w.view((1, -1) + (1,) * (x.dim() - 2))

    groups = call.arguments.get("num_groups", call.arguments.get("group"))
    if groups is not None:
        return Layout(
            lambda t: t.reshape(shape[0], groups, -1), lambda t: t.reshape(shape), channels
        )
    moved = x.transpose(0, 1).shape
    return Layout(
        lambda t: t.transpose(0, 1).flatten(1),
        lambda t: t.reshape(moved).transpose(0, 1),
        channels,
    )


def epsilon_of(call: Call[Normalisation]) -> float:
    """Return the norm's epsilon, torch's default where none is given."""
    given: float | None = call["eps"]
    return torch.finfo(widen(call["input"]).dtype).eps if given is None else given


def slopes(call: Call[Normalisation], c: Tensor) -> tuple[Tensor, ...]:
    """Return the coefficients of input, weight and bias."""
    layout, eps = layout_of(call), epsilon_of(call)
    weights = [one.arguments.get("weight") for one in (call, call.base)]
    weight = None if weights[0] is None else (weights[0] + weights[1]) / 2
    found = {
        "input": lambda: at_input(call, c, weight, layout, eps),
        "weight": lambda: _gathered(
            widen(c) * entries_of(call, layout, eps), layout, call["weight"]
        ),
        "bias": lambda: _gathered(widen(c), layout, call["bias"]),
    }
    return tuple(found[o.name]().to(call.operand(o).dtype) for o in call.live)


def at_input(
    call: Call[Normalisation], c: Tensor, weight: Tensor | None, layout: Layout, eps: float
) -> Tensor:
    """Return the coefficient of what is normalised."""
    along_rows = weight is not None and "normalized_shape" in call.arguments
    own = weight.flatten() if along_rows and weight is not None else None
    if weight is not None and own is None:
        c = widen(c) * layout.along(weight)
    runs = [layout.rows(one["input"]) for one in (call, call.base)]
    return layout.back(two_run_norm(layout.rows(c), *runs, own, eps, layout.centred))


def entries_of(call: Call[Normalisation], layout: Layout, eps: float) -> Tensor:
    """Return the mean of both runs' normalised entries."""
    (u_b, r_b), (u_a, r_a) = (
        normalised(widen(layout.rows(one["input"])), eps, layout.centred)
        for one in (call, call.base)
    )
    return layout.back((u_b * r_b + u_a * r_a) / 2)


def _gathered(c: Tensor, layout: Layout, like: Tensor) -> Tensor:
    """Return the sum over everything that one entry of a weight was spread to."""
    return c.sum_to_size(layout.along(like).shape).reshape(like.shape)


@rule(
    "delta",
    family=Normalisation,
    cites="own: exact differences, docs/two-runs.md",
    absorbs=choice,
    runs=2,
)
def normalisation(call: Call[Normalisation], c: Arriving) -> Coefficients:
    """Pass relevance through entries and scale at the mean of both runs."""
    return over_settings(call, lambda one: slopes(one, at_result(c)))
