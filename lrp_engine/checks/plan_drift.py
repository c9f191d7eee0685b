"""Plan drift: compare each op's rule with that in the golden result."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from .budget import Budget
from .evidence import Evidence
from .finding import Finding, Place, Status
from .golden import plan_lines

UNIT = "ops with another rule"
ADVICE = (
    "if the change is meant, write the golden result anew with lrp check --update and review its"
    " diff; if not, undo what changed the preset, the rules or the model"
)

PlanLine = tuple[str, str, str]


@dataclass(frozen=True)
class PlanChange:
    """One op whose rule changed, or that came or went. `index` is its place in the plan now."""

    text: str
    index: int | None


def check_plan_drift(evidence: Evidence, budget: Budget) -> Finding:
    """Compare (op, module, rule) op by op, in the order of the forward pass."""
    if evidence.golden is None:
        return Finding("plan drift", Status.SKIPPED, "there is no golden result")
    now, then = plan_lines(evidence.engine), evidence.golden.plan
    changes = list(compare_plans(then, now))
    if len(changes) <= budget.rules:
        message = f"{len(now)} ops as in the golden result" if not changes else changes[0].text
        return Finding(
            "plan drift", Status.PASSED, message, float(len(changes)), float(budget.rules), UNIT
        )
    why = evidence.golden.differences(evidence.engine, evidence.kept)
    first = next((c.index for c in changes if c.index is not None), None)
    assignments = evidence.engine.plan.assignments
    return Finding(
        "plan drift",
        Status.FAILED,
        changes[0].text + (f"; changed since: {', '.join(why)}" if why else ""),
        float(len(changes)),
        float(budget.rules),
        UNIT,
        None if first is None else Place.of(assignments[first].node),
        ADVICE,
        tuple(change.text for change in changes[:20]),
    )


def compare_plans(then: Sequence[PlanLine], now: Sequence[PlanLine]) -> Iterator[PlanChange]:
    """Yield the changes: ops are matched by op and module, and must have the same rule."""
    matcher = SequenceMatcher(None, [r[:2] for r in then], [r[:2] for r in now], autojunk=False)
    for kind, i, i_end, j, j_end in matcher.get_opcodes():
        if kind == "equal":
            for old, new, index in zip(then[i:i_end], now[j:j_end], range(j, j_end), strict=True):
                if old[2] != new[2]:
                    yield PlanChange(f"{_where(new)}: rule {old[2]} -> {new[2]}", index)
            continue
        for old in then[i:i_end]:
            yield PlanChange(f"{_where(old)}: gone (its rule was {old[2]})", None)
        for index in range(j, j_end):
            yield PlanChange(f"{_where(now[index])}: new, with rule {now[index][2]}", index)


def _where(line: PlanLine) -> str:
    return f"{line[0]} in {line[1] or '(root)'}"
