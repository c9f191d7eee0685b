"""Say in a few lines what an engine and a forward pass are; shapes stand for tensors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from torch import Tensor

from ..graphs.nodes import shape_text, value
from ..markup import MOST_ROWS, Overview
from ..promises.policy import Policy, PolicyOrBudget, format_bytes
from .program_pairs import ProgramPairs


def engine_overview(pairs: ProgramPairs) -> Overview:
    """Return what an engine explains, from where to where and how, and its model's weights."""
    plan, captured = pairs.plan, pairs.plan.captured
    weights = list(captured.tensors.items())
    ports = [f"{port.name} {shape_text(value(port.node))}" for port in captured.inputs]
    return Overview(
        title=f"engine: preset {plan.preset.name}, {plan.preset.title}",
        facts=(
            ("inputs", ", ".join(ports)),
            ("explains", f"{plan.output.name} {shape_text(value(plan.output.node))}"),
            ("sources", ", ".join(source.name for source in plan.sources)),
            ("coverage", plan.coverage().line().removeprefix("coverage: ")),
            ("policy", f"{_policy_text(pairs.policy)}{', compiled' if pairs.compile else ''}"),
            ("weights", _amount(tensor for _, tensor in weights)),
        ),
        head=("weight", "shape"),
        rows=[(name, shape_text(tensor)) for name, tensor in weights[:MOST_ROWS]],
        left_out=max(0, len(weights) - MOST_ROWS),
        notes=captured.notes,
    )


def forward_overview(pairs: ProgramPairs, outputs: Sequence[Any], kept: Sequence[Any]) -> Overview:
    """Return the outputs of one forward pass, and what is kept of it."""
    ports = pairs.plan.captured.outputs
    return Overview(
        title=f"forward pass, ready for targets under preset {pairs.plan.preset.name}",
        facts=(
            ("explains", pairs.plan.output.name),
            ("kept for rules", _amount(v for v in kept if isinstance(v, Tensor))),
        ),
        head=("output", "shape"),
        rows=[(p.name, shape_text(o)) for p, o in zip(ports, outputs, strict=False)][:MOST_ROWS],
    )


def _amount(tensors: Iterable[Tensor]) -> str:
    found = list(tensors)
    size = format_bytes(sum(t.numel() * t.element_size() for t in found))
    return f"{len(found)} tensors, {sum(t.numel() for t in found):,} numbers, {size}"


def _policy_text(policy: PolicyOrBudget) -> str:
    return policy.value if isinstance(policy, Policy) else format_bytes(policy.bytes)
