"""Inputs: every input that influences the explained output is a source, or only controls others."""

from __future__ import annotations

from .budget import Budget
from .evidence import Evidence
from .finding import Finding, Place, Status

UNIT = "unreached inputs"
ADVICE = (
    "relevance of this input is missing from the explanation, and is booked as 'unreached input':"
    " choose a preset whose rules pass the op at which its way ends, give that op a record, or name"
    " a module or node behind it as a source. `unreached` in the budget allows such inputs"
)


def check_inputs(evidence: Evidence, budget: Budget) -> Finding:
    """Hold the number of inputs that are neither sources nor controls to the limit."""
    coverage = evidence.engine.coverage()
    found, limit = coverage.unreached, budget.unreached
    details = tuple(str(use) for use in coverage.inputs)
    if len(found) <= limit:
        message = "; ".join(map(str, (*found, *coverage.controls))) or "every input is explained"
        return Finding("inputs", Status.PASSED, message, len(found), limit, UNIT, details=details)
    first = found[0]
    nodes = {node.name: node for node in evidence.engine.captured.graph.nodes}
    place = Place.of(nodes[first.node]) if first.node in nodes else None
    return Finding(
        "inputs", Status.FAILED, str(first), len(found), limit, UNIT, place, ADVICE, details
    )
