"""Define the plan: the rule of every live op, and why. Immutable, and readable as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx

from ..capture import Captured, OutputPort
from ..graphs.nodes import (
    origin,
    shape_text,
    target_name,
    value,
)
from ..graphs.precision import coarsest_dtype
from ..graphs.schema import Operand
from ..markup import MOST_ROWS, Overview, Shown
from ..method.op import Op
from ..method.registry import Registry
from ..method.rule import Rule
from ..preset.preset import Preset, rule_text
from .influence import Influence, InputKind, InputUse


@dataclass(frozen=True)
class SourcePort:
    """A place where relevance is wanted."""

    name: str
    node: fx.Node


@dataclass(frozen=True)
class Assignment:
    """One op, its rule, and the operands through which relevance passes on.

    Of some operands it is known that no entry is below zero. `absorbs_zeros`: the slope may be
    infinite or undefined, and c = 0 is passed on as 0 all the same.
    """

    node: fx.Node
    op: Op
    rule: Rule
    parameters: Mapping[str, Any]
    live: tuple[Operand, ...]
    why: str
    never_negative: frozenset[Operand] = frozenset()
    absorbs_zeros: bool = False

    def rule_text(self) -> str:
        """Return the rule and its parameters as text: `epsilon(epsilon=1e-06)`."""
        return rule_text(self.rule.name, self.parameters)


@dataclass(frozen=True)
class Stopped:
    """An op that live operands enter and no relevance passes, with the reason."""

    node: fx.Node
    reason: str


@dataclass(frozen=True)
class Coverage:
    """The number of live ops by op, family and rule, and the places where relevance stops."""

    live: int
    rules: Mapping[tuple[str, str, str], int]
    stopped: Mapping[tuple[str, str], int]
    inputs: tuple[InputUse, ...] = ()

    @property
    def unreached(self) -> tuple[InputUse, ...]:
        """The inputs that influence the explained output and are neither sources nor controls."""
        return tuple(use for use in self.inputs if use.kind is InputKind.UNREACHED)

    @property
    def controls(self) -> tuple[InputUse, ...]:
        """The inputs that only switch or scale what others contribute."""
        return tuple(use for use in self.inputs if use.kind is InputKind.CONTROL)

    def line(self) -> str:
        """Return the one-line summary."""
        families = len({family for _, family, _ in self.rules})
        return (
            f"coverage: {self.live} of {self.live} live ops have a rule"
            f" ({len(self.rules)} op/rule pairs, {families} families);"
            f" {sum(self.stopped.values())} stopped on purpose"
            + _listed("; unreached input: ", self.unreached)
            + _listed("; control: ", self.controls)
        )

    def as_dict(self) -> dict[str, object]:
        """Return plain data for JSON."""
        keys = ("op", "family", "rule")
        return {
            "live": self.live,
            "covered": self.live,
            "rules": [
                dict(zip(keys, k, strict=True)) | {"count": n} for k, n in self.rules.items()
            ],
            "stopped": [{"op": o, "reason": r, "count": n} for (o, r), n in self.stopped.items()],
            "inputs": [
                {"input": u.name, "is": u.kind.value, "reason": u.reason, "op": u.op}
                | {"module": u.module, "sources": list(u.sources)}
                for u in self.inputs
            ],
        }


def _listed(title: str, uses: tuple[InputUse, ...]) -> str:
    return title + ", ".join(use.name for use in uses) if uses else ""


@dataclass(frozen=True, repr=False)
class Plan(Shown):
    """Every live op with its rule, from the sources to the explained output."""

    captured: Captured
    preset: Preset
    registry: Registry
    sources: tuple[SourcePort, ...]
    output: OutputPort
    assignments: tuple[Assignment, ...]
    stopped: tuple[Stopped, ...]
    influence: Influence = field(default_factory=Influence)

    def coverage(self) -> Coverage:
        """Count per op, family and rule. A plan exists only if every live op has a rule."""
        rows = Counter((target_name(a.node), a.op.family, a.rule_text()) for a in self.assignments)
        stops = Counter((target_name(s.node), s.reason) for s in self.stopped)
        counts = dict(rows.most_common()), dict(stops.most_common())
        return Coverage(len(self.assignments), *counts, self.influence.inputs)

    def coarsest_dtype(self) -> torch.dtype:
        """Return the dtype of lowest precision among the live values: it sets the tolerance."""
        return coarsest_dtype(a.node for a in self.assignments)

    def rows(self) -> list[tuple[str, ...]]:
        """Return (node, op, value, rule, through, module) of every live op, in forward order."""
        return [
            (
                a.node.name,
                target_name(a.node).removeprefix("aten."),
                shape_text(value(a.node)),
                a.rule_text(),
                ", ".join(map(str, a.live)),
                origin(a.node).module,
            )
            for a in self.assignments
        ]

    def overview(self) -> Overview:
        """Return the ops and their rules, most frequent first; shapes stand for tensors."""
        coverage = self.coverage()
        rows = [(*key, str(count)) for key, count in coverage.rules.items()]
        stops = [(op, f"stopped: {why}", str(n)) for (op, why), n in coverage.stopped.items()]
        rows += [(op, "", why, n) for op, why, n in stops]
        return Overview(
            title=f"plan: preset {self.preset.name}, {self.preset.title}",
            facts=(
                ("from", f"{self.output.name} {shape_text(value(self.output.node))}"),
                ("to", ", ".join(f"{s.name} {shape_text(value(s.node))}" for s in self.sources)),
                ("coverage", coverage.line().removeprefix("coverage: ")),
            ),
            head=("op", "family", "rule", "count#"),
            rows=rows[:MOST_ROWS],
            left_out=max(0, len(rows) - MOST_ROWS),
        )

    def __str__(self) -> str:
        head = ("node", "op", "value", "rule", "through", "module")
        rows = [head, *self.rows()]
        widths = [min(44, max(len(row[i]) for row in rows)) for i in range(len(head))]
        lines = [
            "  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)).rstrip() for r in rows
        ]
        title = f"preset {self.preset.name}: {self.preset.title}"
        ends = f"{', '.join(s.name for s in self.sources)} <- {self.output.name}"
        return "\n".join([title, ends, "", *lines, "", self.coverage().line()])
