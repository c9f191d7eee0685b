"""Measuring an op: its results, what arrives at them, its derivatives by differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lrp_engine.graphs.schema import Operand, invoke, substitute
from lrp_engine.method.call import Call
from lrp_engine.testing.rule_case import pairs

Relevance = dict[Operand, Tensor]

STEP = 2.0**-12


def jacobian(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """d function / d x as a dense matrix, by a fourth-order difference for each entry of x.

    Exact for linear functions, and for piecewise linear ones away from their kinks.
    """
    columns = []
    for i in range(x.numel()):
        shift = torch.zeros(x.numel(), dtype=x.dtype)
        shift[i] = STEP
        shift = shift.view(x.shape)
        near = function(x + shift) - function(x - shift)
        far = function(x + 2 * shift) - function(x - 2 * shift)
        columns.append((8 * near.double() - far.double()) / (12 * STEP))
    return torch.stack(columns, dim=-1)


def results(out: Any, c: Any) -> Tensor:
    """All results that relevance arrives at, as one long vector."""
    return torch.cat([o.reshape(-1) for o, _ in pairs(out, c)])


def incoming(call: Call, c: Any) -> Tensor:
    """R at the results, as one long vector."""
    return torch.cat([(o.double() * k.double()).reshape(-1) for o, k in pairs(call.out, c)])


def dense(call: Call, c: Any, operand: Operand) -> Tensor:
    """J[j, i]: how result entry j answers to entry i of an operand."""

    def function(x: Tensor) -> Tensor:
        return results(invoke(call.op.target, substitute(call.arguments, {operand: x})), c)

    return jacobian(function, call.operand(operand))


def ratio(relevance: Tensor, z: Tensor) -> Tensor:
    """R_j / z_j; an entry that is exactly zero carries nothing."""
    return torch.where(z == 0, 0.0, relevance / torch.where(z == 0, 1.0, z))
