"""Define a preset: ordered rows (where, rule, parameters). `preset_file` reads them from TOML."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from fnmatch import fnmatchcase

from torch import fx

from ..graphs.nodes import module_stack, target_name
from .position import Places, RowPosition


@dataclass(frozen=True)
class PresetRow:
    """One row of a preset: where it applies, which rule, with which parameters.

    `op`, `module`, `type`, `node`, `before` and `after` are globs; `ahead_of` names a family of
    which no op lies between the sources and the node. A row that matches no module or
    node raises PresetError unless `optional` is set.
    """

    family: str
    use: str
    parameters: Mapping[str, object] = field(default_factory=dict)
    op: str | None = None
    module: str | None = None
    type: str | None = None
    node: str | None = None
    before: str | None = None
    after: str | None = None
    position: RowPosition | None = None
    ahead_of: str | None = None
    optional: bool = False
    origin: str = ""

    def matches(self, node: fx.Node, family: str, places: Places) -> bool:
        """Return whether the row applies to a node of that family."""
        return (
            self.family == family
            and self.names_op(target_name(node))
            and self.lies_at(node)
            and (self.before is None or places.is_before(node, self.before))
            and (self.after is None or places.is_after(node, self.after))
            and (self.position is None or places.is_at(node, family, self.position))
            and (self.ahead_of is None or places.is_ahead(node, self.ahead_of))
        )

    def names_op(self, name: str) -> bool:
        """Return whether the row selects an op of that name; a name without overload means all."""
        if not self.op:
            return True
        wanted, name = self.op.removeprefix("aten."), name.removeprefix("aten.")
        return fnmatchcase(name, wanted if "." in wanted else wanted + ".*")

    def lies_at(self, node: fx.Node) -> bool:
        """Return whether a node has the name and lies in the module that the row selects."""
        if self.node and not fnmatchcase(node.name, self.node):
            return False
        stack = module_stack(node)
        if self.type and all(not fnmatchcase(kind, self.type) for _, kind in stack):
            return False
        return not self.module or any(fnmatchcase(path, self.module) for path, _ in stack)

    def is_narrow(self) -> bool:
        """Return whether the row names modules or nodes, so that matching none is a mistake."""
        return bool(self.module or self.node or self.type) and not self.optional

    def where(self) -> str:
        """Return the row's selectors as text."""
        keys = ("op", "module", "type", "node", "before", "after", "position", "ahead_of")
        named = {k: getattr(self, k) for k in keys}
        return ", ".join([f"family {self.family}", *(f"{k} {v}" for k, v in named.items() if v)])

    def rule_text(self) -> str:
        """Return the rule with its parameters as text, `epsilon(epsilon=1e-06)`."""
        return rule_text(self.use, self.parameters)


def rule_text(name: str, parameters: Mapping[str, object]) -> str:
    """Return a rule with its parameters as text, `epsilon(epsilon=1e-06)`."""
    inside = ", ".join(f"{k}={plain_value(v)}" for k, v in parameters.items())
    return f"{name}({inside})" if inside else name


def plain_value(value: object) -> object:
    """Return a parameter as it is written in a preset file."""
    return value.value if isinstance(value, Enum) else value


NOWHERE = Places(fx.Graph())


@dataclass(frozen=True)
class Preset:
    """A named choice of rules; the last matching row wins.

    `gates`: whether a product that is one activation of one tensor is treated as such.
    `fold_batch_norm`: whether a batch norm is read as part of the weighted sum beside it.
    `runs`: 2 if its rules compare a run with a reference run. `reason` says why it was taken, if it
    was not asked for by name.
    """

    name: str
    title: str
    cites: tuple[str, ...]
    entries: tuple[PresetRow, ...]
    gates: bool = True
    fold_batch_norm: bool = False
    runs: int = 1
    reason: str = ""

    @property
    def hash(self) -> str:
        """Return a hash of the choice of rules and parameters."""
        rows = [
            [e.where(), e.use, sorted((k, plain_value(v)) for k, v in e.parameters.items())]
            for e in self.entries
        ]
        text = json.dumps([rows, self.gates, self.fold_batch_norm])
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def choose(self, node: fx.Node, family: str, places: Places = NOWHERE) -> PresetRow | None:
        """Return the row for a node; without `places`, rows that select by place match nothing."""
        for entry in reversed(self.entries):
            if entry.matches(node, family, places):
                return entry
        return None

    def counts_positions(self) -> bool:
        """Return whether some row selects ops by what is live before or behind them."""
        return any(entry.position or entry.ahead_of for entry in self.entries)
