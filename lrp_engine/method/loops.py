"""Let relevance pass where the step of a recurrence begins and ends: nothing is computed there.

What arrives at the states before each step goes to those after the step before it. No rule for one
op could do that; `lrp_engine/propagate/loops.py` does, with the rules of the step's own ops. The
record and the rule here only stand for it in a plan. No preset has a row for them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from ..graphs.aten import END_STEPS, RUN_STEPS
from .call import Call, Coefficients
from .op import Op
from .rule import Rule, rule


@dataclass(frozen=True, kw_only=True, eq=False)
class StepEnd(Op):
    """An end of a recurrence's step, at which states are handed on."""

    family: ClassVar[str] = "step_end"


STEP_ENDS: dict[Any, StepEnd] = {
    RUN_STEPS: StepEnd(target=RUN_STEPS, operands=("each", "states", "fixed")),
    END_STEPS: StepEnd(target=END_STEPS, operands=("after",)),
}


@rule("handed_on", family=StepEnd, cites="own: the states after a step are those before the next")
def handed_on(call: Call[StepEnd], c: object) -> Coefficients:
    """Stand for the walk along the steps, which is no rule of one op."""
    raise NotImplementedError("relevance passes the steps of a recurrence all together")


HANDED_ON: Rule = handed_on
