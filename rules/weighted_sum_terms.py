"""Read a call of a weighted sum, z = op(x, w) + b, with x live and w constant."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from lrp_engine.graphs.schema import (
    Operand,
    declared_arguments,
    invoke,
    pick,
    substitute,
)
from lrp_engine.method.call import Call, Coefficients, Form
from lrp_engine.method.op import WeightedSum
from lrp_engine.method.relevance import stabilise


def weight_place(call: Call[WeightedSum]) -> Operand:
    """Return the argument that holds the weight; of a list of two, the one that is not live."""
    (x,) = call.live
    return Operand(call.op.weight, None if x.index is None else 1 - x.index)


def input_of(call: Call[WeightedSum]) -> Tensor:
    """Return the input x."""
    return call.operand(call.live[0])


def weight_of(call: Call[WeightedSum]) -> Tensor:
    """Return the weight w."""
    weight: Tensor = pick(call.arguments, weight_place(call))
    return weight


def bias_of(call: Call[WeightedSum]) -> Tensor | None:
    """Return the bias b, shaped so that it broadcasts to z; None if there is none."""
    bias: Tensor | None = call[call.op.bias] if call.op.bias else None
    if bias is None:
        return None
    bias = bias * call.arguments.get("beta", 1)
    spatial = weight_of(call).dim() - 2
    return bias.view((-1,) + (1,) * spatial) if bias.dim() == 1 and spatial > 0 else bias


def without_bias(call: Call[WeightedSum]) -> Tensor:
    """Return z - b, summed anew: where z and b nearly cancel, their difference would be noise."""
    return sum_weighted(call, input_of(call), weight_of(call))


def sum_weighted(call: Call[WeightedSum], x: Tensor, weight: Tensor) -> Tensor:
    """Return op(x, w) without the bias, for other inputs and weights."""
    changed = substitute(call.arguments, {call.live[0]: x, weight_place(call): weight})
    z: Tensor = invoke(call.op.target, changed | _without_bias(call))
    return z


def apply_transpose(call: Call[WeightedSum], c: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return w^T c, by the op's own adjoint if it has one, by torch's derivative otherwise."""
    if call.op.adjoint is not None:
        return call.op.adjoint(call, c, weight_of(call) if weight is None else weight)
    if weight is not None:
        call = replace(call, arguments=substitute(call.arguments, {weight_place(call): weight}))
    (back,) = call.vjp(c)
    return back


def relevance(call: Call[WeightedSum], flow: Tensor) -> Tensor:
    """Return R at z, whichever form arrived."""
    z: Tensor = call.out
    return flow if call.form is Form.RELEVANCE else flow * z


def share_out(call: Call[WeightedSum], flow: Tensor, z: Tensor, epsilon: float) -> Tensor:
    """Return R / (z' + epsilon sign z') for a denominator z'."""
    if call.form is Form.COEFFICIENT and z is call.out:
        size: Tensor = z.abs()  # z / (z + epsilon sign z) in fewer passes over memory
        return flow * (size / (size + epsilon))
    return over(call, flow, stabilise(z, epsilon))


def over(call: Call[WeightedSum], flow: Tensor, denominator: Tensor) -> Tensor:
    """Return R / denominator."""
    if call.form is Form.RELEVANCE:
        return flow / denominator
    z: Tensor = call.out
    return flow * (z / denominator)


def has_one_sign(call: Call[WeightedSum]) -> bool:
    """Return whether x is known to have no entry below zero, as behind a rectifier."""
    return call.live[0] in call.never_negative


def by_sign(call: Call[WeightedSum], positive: Tensor, negative: Tensor) -> Coefficients:
    """Return one coefficient for inputs above zero, another for those below."""
    if has_one_sign(call):
        return call.only(positive)
    return call.only(torch.where(input_of(call) < 0, negative, positive))


def _without_bias(call: Call[WeightedSum]) -> dict[str, Tensor | None]:
    """Return the arguments that leave the bias out."""
    name = call.op.bias
    if name is None:
        return {}
    declared = next(a for a in declared_arguments(call.op.target) if a.name == name)
    optional = isinstance(declared.type, torch.OptionalType)
    return {name: None if optional else torch.zeros_like(call[name])}
