"""Pass on c = 0 as 0, whatever the activation and the slope are.

Where no relevance arrives, none goes on: `where(x > 0, log(x), 0)` has an infinite slope at every
entry that it leaves out, and 0 times infinity would be no number. A plan marks the calls at which
this can happen (`Assignment.absorbs_zeros`); `pass_on` then clears what a rule returned there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..graphs.schema import Operand, substitute
from .call import Arriving, Call, Coefficients, OpT
from .op import Op
from .rule import Rule


def is_entrywise(op: Op) -> bool:
    """Return whether every entry of an op's result comes from one entry of each operand."""
    return op.elementwise or torch.Tag.pointwise in getattr(op.target, "tags", ())


def can_absorb(op: Op) -> bool:
    """Return whether it is known which entries of an op's operands no relevance concerns."""
    return op.reads_operands and (is_entrywise(op) or op.axes is not None)


def pass_on(
    rule: Rule,
    call: Call[Op],
    c: Arriving | None,
    parameters: Mapping[str, Any],
    absorbs_zeros: bool,
) -> Coefficients:
    """Run a rule; with `absorbs_zeros`, what it passes on is 0 wherever what arrived is 0.

    Args:
        rule: The rule of the call's family.
        call: The call that the rule sees.
        c: What arrives, of the result's shape.
        parameters: The rule's parameters.
        absorbs_zeros: Whether slope or operands may be infinite or undefined.

    Returns:
        One coefficient per live operand, of the operand's shape.
    """
    if not absorbs_zeros or c is None:
        return tuple(rule.propagate(call, c, **parameters))
    if not is_entrywise(call.op):
        found = rule.propagate(call, c, **parameters)
        return tuple(b if b is None else b.masked_fill(_idle_along(call, c), 0.0) for b in found)
    assert isinstance(c, Tensor)
    wide = repeat_operands(call, c)
    found = rule.propagate(wide, c, **parameters)
    call.primal = wide.primal
    return tuple(
        back if back is None else _clear(back, c, call.operand(operand))
        for operand, back in zip(call.live, found, strict=True)
    )


def repeat_operands(call: Call[OpT], c: Tensor) -> Call[OpT]:
    """Return the call with live operands of the result's shape, so that nothing is summed yet."""
    wide: dict[Operand, object] = {o: call.operand(o).expand(c.shape) for o in call.live}
    return replace(call, arguments=substitute(call.arguments, wide))


def _clear(back: Tensor, c: Tensor, operand: Tensor) -> Tensor:
    return back.masked_fill(c == 0, 0.0).sum_to_size(operand.shape)


def _idle_along(call: Call[Op], c: Arriving) -> Tensor:
    """Return where nothing arrived along the axes that the op mixes, broadcast to the operand."""
    parts = [c] if isinstance(c, Tensor) else [part for part in c if part is not None]
    return torch.stack([_idle(call, part) for part in parts]).all(0)


def _idle(call: Call[Op], c: Tensor) -> Tensor:
    (operand,) = call.live
    count = call.operand(operand).dim()
    axes = call.arguments.get(call.op.axes or "")
    axes = [axes] if isinstance(axes, int) else list(axes or range(count))
    if c.dim() < count:  # a reduction without keepdim
        for axis in sorted(axis % count for axis in axes):
            c = c.unsqueeze(axis)
    return (c == 0).all(axes, keepdim=True) if axes else c == 0
