"""Write a recurrence as a scan: one copy of its step, whatever the number of steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._python_dispatch import _disable_current_modes

from .step_program import write_step
from .steps import Tensors, end_steps, run_steps

# Takes one tensor of each step, the states before, and what is fixed; returns the states after.
Step = Callable[[Tensors, Tensors, Tensors], Tensors]
_SIZES = (2, 3)  # stand for a free size


def scan_steps(
    step: Step, each: Tensors, states: Tensors, fixed: Tensors, reverse: bool = False
) -> list[Tensor]:
    """Return the states after each step, stacked.

    Args:
        step: One step, in ops that treat the first axis as a batch: it is called with one step,
            and with all of them at once.
        each: What differs from step to step, each (steps, batch, ...).
        states: The states before the first step, each (1, batch, ...).
        fixed: What is the same at every step.
        reverse: Start at the last step.

    Raises:
        ValueError: The step depends on the batch's size.

    Example:
        >>> x, h = torch.arange(4.0).reshape(4, 1, 1), torch.zeros(1, 1, 1)
        >>> (sums,) = scan_steps(lambda x, h, _: [h[0] + x[0]], [x], [h], [])
        >>> sums.flatten().tolist()
        [0.0, 1.0, 3.0, 6.0]
    """
    text = _text_of(step, each, states, fixed)
    before = run_steps(list(each), list(states), list(fixed), text, reverse)
    after: list[Tensor] = end_steps(list(step(each, before, fixed)), before)
    return after


def run_through(
    step: Step, each: Tensors, states: Tensors, fixed: Tensors, reverse: bool = False
) -> list[Tensor]:
    """Return the states after each step as `scan_steps` does, the first step written by itself.

    The states before the first step may be constants, as those before no other are, and rules tell
    these apart. The scan is as long as the sequence, with a step too many whose result is dropped:
    one step less might be none.
    """
    first = [x[-1:] if reverse else x[:1] for x in each]
    now = list(step(first, states, fixed))
    if each[0].shape[0] == 1:
        return now
    if reverse:
        rest = [torch.cat([a, x])[:-1] for a, x in zip(first, each, strict=True)]
    else:
        rest = [torch.cat([x, a])[1:] for a, x in zip(first, each, strict=True)]
    later = scan_steps(step, rest, now, fixed, reverse)
    if reverse:
        return [torch.cat([b, a])[1:] for a, b in zip(now, later, strict=True)]
    return [torch.cat([a, b])[:-1] for a, b in zip(now, later, strict=True)]


def _text_of(step: Step, each: Tensors, states: Tensors, fixed: Tensors) -> str:
    """Trace one step by itself, apart from whatever is being traced."""
    counts = len(each), len(each) + len(states)
    one_step = [(1, *x.shape[1:]) for x in each]
    shapes = [*one_step, *(x.shape for x in (*states, *fixed))]
    kinds = [(x.dtype, x.device) for x in (*each, *states, *fixed)]

    def flat(*given: Tensor) -> list[Tensor]:
        a, b = counts
        return list(step(given[:a], given[a:b], given[b:]))

    def trace(size: int) -> str:
        with FakeTensorMode():
            examples = [
                torch.empty(_concrete(shape, size), dtype=dtype, device=device)
                for shape, (dtype, device) in zip(shapes, kinds, strict=True)
            ]
        return write_step(make_fx(flat, pre_dispatch=True)(*examples).graph)

    # No `no_grad` here: a trace around this one would record it, and its program switch grad off.
    with _disable_current_modes():
        found, other = map(trace, _SIZES)
    if found != other:
        raise ValueError("the step of a recurrence depends on the size of its batch")
    return found


def _concrete(shape: Sequence[int | torch.SymInt], size: int) -> list[int]:
    return [size if isinstance(n, torch.SymInt) else n for n in shape]
