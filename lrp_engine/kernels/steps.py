"""Define two ops that stand around the step of a recurrence: any length is one capture.

A recurrence s_t = step(x_t, s_(t-1), w) is written as three parts:

- `run_steps` walks along the steps, and returns the states *before* each of them, stacked;
- the step itself, as plain ops, reads those, and so computes all steps at once;
- `end_steps` says which of its results are the states after each step.

So every op of the step has one node, whatever the length, and rules serve it as any other. Only
what depends on the order of the steps is left to `run_steps`: the states, and, run the other way,
what relevance arrives at them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .step_program import read_step

Tensors = Sequence[Tensor]

_RUN, _END = "lrp_engine::run_steps", "lrp_engine::end_steps"
torch.library.define(
    _RUN,
    "(Tensor[] each, Tensor[] states, Tensor[] fixed, str step, bool reverse) -> Tensor[]",
    tags=(torch.Tag.pt2_compliant_tag,),
)
torch.library.define(
    _END, "(Tensor[] after, Tensor[] before) -> Tensor[]", tags=(torch.Tag.pt2_compliant_tag,)
)
run_steps: Any = torch.ops.lrp_engine.run_steps
end_steps: Any = torch.ops.lrp_engine.end_steps


def walk_steps(
    each: Tensors, states: Tensors, fixed: Tensors, step: str, reverse: bool
) -> list[Tensor]:
    """Compute the states before each step.

    Args:
        each: What differs from step to step, each (steps, ...).
        states: The states before the first step, each (1, ...).
        fixed: What is the same at every step.
        step: The text of `write_step` of a graph that takes one entry of `each`, (1, ...), the
            states before, and `fixed`, and returns the states after, in their shape.
        reverse: Start at the last step.

    Returns:
        For each state (steps, ...), in the order of `each`.
    """
    function, now = read_step(step), tuple(states)
    count = each[0].shape[0]
    found: list[tuple[Tensor, ...]] = []
    for t in reversed(range(count)) if reverse else range(count):
        found.append(now)
        if len(found) < count:
            now = tuple(function(*(x[t : t + 1] for x in each), *now, *fixed))
    if not found:
        return [s.new_empty((0, *s.shape[1:])) for s in states]
    return [torch.cat(parts) for parts in zip(*(found[::-1] if reverse else found), strict=True)]


def _without_data(each: Tensors, states: Tensors, *_: object) -> list[Tensor]:
    return [s.new_empty((each[0].shape[0], *s.shape[1:])) for s in states]


def _copied(after: Tensors, before: Tensors) -> list[Tensor]:
    """Return `after`; what an op returns may not be what it was given."""
    return [x.clone(memory_format=torch.contiguous_format) for x in after]


torch.library.impl(_RUN, "default")(walk_steps)
torch.library.impl(_END, "default")(_copied)
torch.library.register_fake(_RUN, _without_data)
torch.library.register_fake(_END, _copied)


def _remember(ctx: Any, inputs: tuple[Any, ...], output: object) -> None:
    each, states, fixed, step, reverse = inputs
    ctx.counts = len(each), len(states), len(fixed)
    ctx.settings = step, reverse
    ctx.save_for_backward(*each, *states, *fixed)


def _backward(ctx: Any, c: Tensors) -> tuple[Any, ...]:
    """Walk once more, and let torch differentiate that walk."""
    tensors: list[Tensor] = list(ctx.saved_tensors)
    a, b, _ = ctx.counts
    numbers = [i for i, x in enumerate(tensors) if x.dtype.is_floating_point]

    def walk(*given: Tensor) -> tuple[Tensor, ...]:
        filled = list(tensors)
        for i, x in zip(numbers, given, strict=True):
            filled[i] = x
        return tuple(walk_steps(filled[:a], filled[a : a + b], filled[a + b :], *ctx.settings))

    given = (tensors[i] for i in numbers)
    outs, pull, *_ = torch.func.vjp(walk, *given)  # with a third, by its type, for has_aux
    seeds = (torch.zeros_like(o) if k is None else k for o, k in zip(outs, c, strict=True))
    found = dict(zip(numbers, pull(tuple(seeds)), strict=True))
    back = [found.get(i) for i in range(len(tensors))]
    return back[:a], back[a : a + b], back[a + b :], None, None


torch.library.register_autograd(_RUN, _backward, setup_context=_remember)


def _count(ctx: Any, inputs: tuple[Any, ...], output: object) -> None:
    ctx.others = len(inputs[1])


def _pass(ctx: Any, c: Tensors) -> tuple[Any, ...]:
    return list(c), [None] * ctx.others


torch.library.register_autograd(_END, _pass, setup_context=_count)
