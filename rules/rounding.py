"""Serve ops that round: the identity, and what rounding changed is booked.

Rounding is a step function, so a gradient through it is zero. Yet a rounded number stands for the
number: in a quantised net the codes are the activations, up to half a step.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.fx.node import Target

from lrp_engine.graphs.aten import aten
from lrp_engine.graphs.precision import change
from lrp_engine.graphs.schema import Arguments
from lrp_engine.method.call import Call, Coefficients, Form, Passed
from lrp_engine.method.op import AtZero, Op, Rounding
from lrp_engine.method.relevance import sum_in_double, to_operand
from lrp_engine.method.rule import rule
from lrp_engine.method.samples import Sample, TensorSpec, real, sample

Step = Tensor | float


def rounding(target: Target, *samples: Sample, **facts: Any) -> Rounding:
    """Return one table row: an op that rounds its first operand, sample calls, further facts."""
    return Rounding(target=target, samples=samples, **{"operands": ("self",), **facts})


def scale_of(arguments: Arguments, x: Tensor) -> Step:
    """Return the step of a fake quantisation, shaped like x where each channel has its own."""
    scale = arguments["scale"]
    if not isinstance(scale, Tensor) or scale.dim() == 0 or "axis" not in arguments:
        return scale  # type: ignore[no-any-return]
    axis = arguments["axis"] % x.dim()
    return scale.view([-1 if i == axis else 1 for i in range(x.dim())])


WHOLE = (
    *(
        rounding(target, sample(real(2, 3)), at_zero=AtZero.ZERO)
        for target in (
            aten.round.default,
            aten.floor.default,
            aten.ceil.default,
            aten.trunc.default,
        )
    ),
    rounding(aten.round.decimals, sample(real(2, 3), decimals=1), at_zero=AtZero.ZERO),
)


def scales(*shape: int) -> TensorSpec:
    """Draw steps between 0.05 and 0.15, in float32 whatever the tensor's dtype, as torch asks."""
    return TensorSpec(lambda g, dtype: torch.rand(shape, generator=g) / 10 + 0.05)


def zeros(*shape: int) -> TensorSpec:
    """Give zero points."""
    return TensorSpec(lambda g, dtype: torch.zeros(shape, dtype=torch.int32))


def fake_by_tensor(x: Tensor, *arguments: Any) -> tuple[Tensor, Tensor]:
    """Fake-quantise by tensors, always enabled."""
    on = torch.ones(1, dtype=torch.int64, device=x.device)
    found = aten._fake_quantize_per_tensor_affine_cachemask_tensor_qparams(
        x, *arguments[:2], on, *arguments[2:]
    )
    return found[0], found[1]


def fake(target: Target, with_range: Any, *samples: Sample, **facts: Any) -> Rounding:
    """Return one row: an op that rounds to the nearest code and cuts off at the ends."""
    return rounding(target, *samples, step=scale_of, with_range=with_range, **facts)


# Their scale may be live, and no rule passes anything to it.
MEASURED = ("self", "scale")

FAKE = (
    fake(
        aten.fake_quantize_per_tensor_affine.default,
        aten.fake_quantize_per_tensor_affine_cachemask.default,
        sample(real(2, 3), 0.1, 0, -8, 7),
    ),
    fake(
        aten.fake_quantize_per_tensor_affine.tensor_qparams,
        fake_by_tensor,
        sample(real(2, 3), scales(), zeros(), -8, 7),
        operands=MEASURED,
        selectors=("zero_point",),
    ),
    fake(
        aten.fake_quantize_per_channel_affine.default,
        aten.fake_quantize_per_channel_affine_cachemask.default,
        sample(real(2, 3), scales(3), zeros(3), 1, -8, 7),
        operands=MEASURED,
        selectors=("zero_point",),
    ),
)


def cut_off(call: Call[Rounding]) -> Tensor:
    """Return a mask of the entries that were moved by more than a step."""
    x = call.operand(call.live[0])
    if call.op.step is None:
        return torch.zeros_like(x, dtype=torch.bool)
    # A little more than a step: the distance itself is rounded.
    cut: Tensor = (call.out - x).abs() > call.op.step(call.arguments, x) * 1.001
    return cut


def remainder(call: Call[Rounding], c: Tensor, passed: Passed) -> dict[str, Tensor]:
    """Return what rounding added to the value, and all of what was cut off."""
    x, cut = call.operand(call.live[0]), cut_off(call)
    moved = (c * change(call.out, x)).masked_fill(cut | (c == 0), 0.0)
    found = {"rounding": sum_in_double(moved)}
    if call.op.step is not None:
        found["constant"] = sum_in_double((c * call.out).masked_fill(~cut | (c == 0), 0.0))
    return found


def rounded(op: Op) -> tuple[str, ...]:
    """Return the operand that is rounded; a scale is none."""
    return op.operands[:1]


@rule("identity", family=Rounding, cites="bengio2013, sec. 4", absorbs=remainder, carries=rounded)
def identity(call: Call[Rounding], c: Tensor) -> Coefficients:
    """Pass c straight through; entries that were cut off pass nothing, like clipped ones."""
    if call.op.step is None:
        return call.only(c)
    return call.only(c.masked_fill(cut_off(call), 0.0))


@rule(
    "pass",
    family=Rounding,
    cites="anders2021, rule Pass",
    carries=rounded,
    takes=Form.RELEVANCE,
    gives=Form.RELEVANCE,
)
def pass_on(call: Call[Rounding], c: Tensor) -> Coefficients:
    """Pass on R_in = R_out, also of what was rounded to zero or cut off."""
    return call.only(to_operand(call, c))


def differentiable(op: Op) -> tuple[str, ...]:
    """Return the operand of an op that torch differentiates as the identity; none else."""
    return op.operands[:1] if isinstance(op, Rounding) and op.with_range else ()


@rule("gradient", family=Rounding, cites="simonyan2014", absorbs="gradient", carries=differentiable)
def gradient(call: Call[Rounding], c: Tensor) -> Coefficients:
    """Return torch's own derivative: 1 for every code that is not cut off, however little."""
    assert call.op.with_range is not None
    _, in_range = call.op.with_range(*call.arguments.values())
    return call.only(c.masked_fill(~in_range, 0.0))
