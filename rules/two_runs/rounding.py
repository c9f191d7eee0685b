"""Serve rounding: the identity, whose remainder is booked."""

from __future__ import annotations

from torch import Tensor

from lrp_engine.method.call import Arriving, Call, Coefficients, Passed
from lrp_engine.method.op import Rounding
from lrp_engine.method.rule import rule
from lrp_engine.rules.two_runs.runs import remainder


def rounded(call: Call[Rounding], c: Arriving, passed: Passed) -> dict[str, Tensor]:
    """Return what rounding adds to the difference."""
    return remainder(call, c, passed, "rounding")


@rule(
    "delta",
    family=Rounding,
    cites="own: exact differences, docs/two-runs.md",
    absorbs=rounded,
    runs=2,
)
def rounding(call: Call[Rounding], c: Tensor) -> Coefficients:
    """Take the op for the identity, c_in = c: a slope through steps would be of no size at all."""
    return tuple(c.sum_to_size(call.operand(o).shape).to(c.dtype) for o in call.live)
