"""Starting at one row: a target at one position leaves every other row of the output without
relevance, so the last weighted sum need only be transposed for that row."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, fx

from .aten import SIZE
from .call import bind, pick
from .graph import value
from .joint import Joint
from .plan import Assignment, Plan
from .propagate import Loop, Site
from .rule import Form
from .template import Template, signature, trace
from .wires import Arrived, Flow


def row_of(x: Tensor, rows: Tensor) -> Tensor:
    """(batch, 1, width): one row per sample of x (batch, positions, width)."""
    index = rows[:, None, None].expand(-1, 1, x.shape[-1])
    return torch.gather(x, 1, index)


def spread(row: Tensor, rows: Tensor, positions: int) -> Tensor:
    """The adjoint of `row_of`: (batch, positions, width), zero everywhere but in that row."""
    index = rows[:, None, None].expand(-1, 1, row.shape[-1])
    return row.new_zeros(row.shape[0], positions, row.shape[-1]).scatter(1, index, row)


def can_start_at_row(plan: Plan) -> bool:
    """Whether the output is a weighted sum that treats every row (batch, position) alike."""
    last = plan.assignments[-1] if plan.assignments else None
    if last is None or last.node is not plan.output.node or len(last.live) != 1:
        return False
    if any(source.node is last.node for source in plan.sources):
        return False
    shapes = [value(last.node).dim(), value(_operand(last)).dim()]
    coefficients = Form.RELEVANCE not in (last.rule.takes, last.rule.gives)
    return getattr(last.op, "rowwise", False) and shapes == [3, 3] and coefficients


def start_at_row(loop: Loop) -> None:
    """Seeds one row of the output, and passes it through the output's own rule."""
    last, joint = loop.plan.assignments[-1], loop.joint
    out, operand = joint.forward(last.node), joint.forward(_operand(last))
    example = value(out)
    seed = joint.seed("seed", example.new_empty((example.shape[0], 1, example.shape[2])))
    rows = joint.seed("rows", example.new_empty((example.shape[0],), dtype=torch.int64))
    site = Site.of(last, Arrived((seed,), 1.0, Form.COEFFICIENT), joint)
    at_row = {n: _write(loop, row_of, last.node, n, rows) for n in (out, operand)}
    arguments = tuple(at_row.get(n, n) for n in site.arguments)
    site = replace(site, arguments=arguments, examples=tuple(value(n) for n in arguments))
    (flow,) = loop.apply(last, site, 1.0)
    if flow is not None:
        positions = value(operand).shape[1]
        if isinstance(positions, torch.SymInt):
            positions = joint.emit(SIZE, (operand, 1), {}, positions)
        whole = _write(loop, spread, last.node, flow.node, rows, positions)
        loop.wires.add(_operand(last), Flow(whole, flow.form, flow.scale))


def _operand(a: Assignment) -> fx.Node:
    return pick(bind(a.node.target, a.node.args, a.node.kwargs), a.live[0])


def _write(loop: Loop, function: Any, asks: fx.Node, *nodes: fx.Node | int) -> fx.Node:
    examples = [value(n) for n in nodes]
    key = (function, *(signature(e) for e in examples))
    if key not in loop.cache:
        loop.cache[key] = trace(function, examples)
    template: Template = loop.cache[key]
    joint: Joint = loop.joint
    return joint.write(template, nodes, asks)[0]
