"""Read the two runs of a call: differences, midpoints, and constants that differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from lrp_engine.graphs.precision import change
from lrp_engine.graphs.schema import Operand, invoke, substitute
from lrp_engine.method.call import Arriving, Call, Coefficients, OpT, Passed
from lrp_engine.method.relevance import sum_relevance


def both(call: Call[OpT], operand: Operand) -> tuple[Tensor, Tensor]:
    """Return an operand's value in the explained run and in the reference."""
    return call.operand(operand), call.base.operand(operand)


def settings(call: Call[OpT]) -> tuple[Call[OpT], ...]:
    """Return the call once, or once for each run's constants where those differ.

    Constants are all arguments but the live operands. In each call that is returned, both runs have
    the same constants.
    """
    b, a = call, call.base
    b_as_a = substitute(a.arguments, {o: b.operand(o) for o in call.live})
    leaves = zip(pytree.tree_leaves(b.arguments), pytree.tree_leaves(b_as_a), strict=True)
    if all(x is y for x, y in leaves if isinstance(x, Tensor)):
        return (call,)
    a_as_b = substitute(b.arguments, {o: a.operand(o) for o in call.live})
    return (_of(call, b.arguments, a_as_b), _of(call, b_as_a, a.arguments))


def _of(call: Call[OpT], b: Mapping[str, object], a: Mapping[str, object]) -> Call[OpT]:
    reference = replace(call.base, arguments=a, out=invoke(call.op.target, a))
    return replace(call, arguments=b, out=invoke(call.op.target, b), reference=reference)


def over_settings(
    call: Call[OpT], slopes: Callable[[Call[OpT]], tuple[Tensor, ...]]
) -> Coefficients:
    """Return the mean of `slopes` over both runs' constants."""
    found = [slopes(one) for one in settings(call)]
    return found[0] if len(found) == 1 else tuple((x + y) / 2 for x, y in zip(*found, strict=True))


def definite(passed: Coefficients) -> tuple[Tensor, ...]:
    """Return coefficients of which none is missing."""
    found = tuple(k for k in passed if k is not None)
    assert len(found) == len(passed)
    return found


def at(call: Call[OpT], t: float) -> Call[OpT]:
    """Return the call at a + t (b - a), constants as in the explained run."""
    between = {o: torch.lerp(a, b, t) for o in call.live for b, a in [both(call, o)]}
    return replace(call, arguments=substitute(call.arguments, between))


def choice(call: Call[OpT], c: Arriving, passed: Passed) -> dict[str, Tensor]:
    """Return what constants that differ between the runs leave; nothing where all are the same."""
    return remainder(call, c, passed) if len(settings(call)) > 1 else {}


def remainder(
    call: Call[OpT], c: Arriving, passed: Passed, cause: str = "choice"
) -> dict[str, Tensor]:
    """Return all of the difference that was not passed on."""
    outs = zip(
        *(o if isinstance(o, tuple) else (o,) for o in (call.out, call.base.out)), strict=True
    )
    flows = zip(c if isinstance(c, tuple) else (c,), outs, strict=True)
    came = [sum_relevance(k, change(b, a)) for k, (b, a) in flows if k is not None]
    pairs = zip(passed, call.live, strict=True)
    left = [sum_relevance(k, change(*both(call, o))) for k, o in pairs]
    return {cause: torch.stack(came).sum() - torch.stack(left).sum()}
