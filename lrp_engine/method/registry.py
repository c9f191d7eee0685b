"""Collect ops and rules in one immutable table, built once from the modules of `rules/`."""

from __future__ import annotations

import importlib
import pkgutil
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from types import MappingProxyType, ModuleType

from torch.fx.node import Target

from ..errors import RuleError
from ..graphs.schema import Arguments
from .op import Op
from .rule import Rule
from .validation import validate, validate_carried


@dataclass(frozen=True)
class Registry:
    """Ops by target, rules by (family, name)."""

    ops: Mapping[Target, tuple[Op, ...]]
    rules: Mapping[tuple[str, str], Rule]

    def find(self, target: Target, arguments: Arguments, live: frozenset[str]) -> Op | None:
        """Return the record that serves a call and declares all that is live; None if none does."""
        serving = self._serving(target, arguments, live)
        return next((op for op in serving if not op.undeclared(live)), None)

    def explain_gap(self, target: Target, arguments: Arguments, live: frozenset[str]) -> str:
        """Say why no record serves a call."""
        if not self.records(target):
            return f"{target} is not declared in rules/"
        serving = self._serving(target, arguments, live)
        missed = [op.needs for op in self.records(target) if op.needs and not op.undeclared(live)]
        if missed:  # none of them serves the call, or there would be no gap
            return missed[0]
        if not serving:
            return f"no record of {target} in rules/ serves this call"
        op = min(serving, key=lambda op: len(op.undeclared(live)))
        names = ", ".join(map(repr, sorted(op.undeclared(live))))
        operands = ", ".join(map(repr, op.operands))
        return (
            f"a live tensor enters through {names}, but relevance passes only through {operands}:"
            f" the {op.family} record of {target} declares no other operand"
        )

    def _serving(
        self, target: Target, arguments: Arguments, live: frozenset[str]
    ) -> tuple[Op, ...]:
        found = self.records(target)
        return tuple(op for op in found if op.when is None or op.when(arguments, live))

    def records(self, target: Target) -> tuple[Op, ...]:
        """Return all records of an op: those of its own, or those declared under its name.

        A name (`library.op.overload`) stands for an op of a library that may not be loaded yet.
        """
        by_name = self.ops.get(str(target), ())
        return self.ops.get(target) or tuple(_bound(op, target) for op in by_name)

    def with_entries(self, entries: Iterable[Op | Rule]) -> Registry:
        """Return a registry with more entries; raise RuleError for duplicates and invalid ones."""
        known = [op for records in self.ops.values() for op in records]
        return build([*known, *self.rules.values(), *entries])


@cache
def _bound(op: Op, target: Target) -> Op:
    """Return a record declared by name, for the op that has that name."""
    bound = replace(op, target=target)
    validate(bound)
    return bound


def build(entries: Iterable[Op | Rule]) -> Registry:
    """Sort entries into a registry; raise RuleError for duplicates and invalid entries."""
    ops: dict[Target, list[Op]] = defaultdict(list)
    rules: dict[tuple[str, str], Rule] = {}
    # Records with a condition are asked first, whichever module they come from.
    for entry in sorted(entries, key=lambda e: getattr(e, "when", None) is None):
        validate(entry)
        if isinstance(entry, Rule):
            key = (entry.family, entry.name)
            if key in rules:
                raise RuleError(f"rule {entry.name!r} of family {entry.family!r} exists twice")
            rules[key] = entry
        else:
            if any(o.when is None for o in ops[entry.target]):
                raise RuleError(f"op {entry.target} is declared twice")
            ops[entry.target].append(entry)
    for rule in rules.values():
        for op in (op for records in ops.values() for op in records if op.family == rule.family):
            validate_carried(rule, op)
    return Registry(
        MappingProxyType({target: tuple(records) for target, records in ops.items()}),
        MappingProxyType(rules),
    )


def entries_of(module: ModuleType) -> list[Op | Rule]:
    """Return every op and rule that a module defines, alone or in tuples, in order."""
    found: list[Op | Rule] = []
    for name, value in vars(module).items():
        if not name.startswith("__"):
            items = value if isinstance(value, tuple) else (value,)
            found += [
                i for i in items if isinstance(i, (Op, Rule)) and not any(i is f for f in found)
            ]
    return found


@cache
def standard() -> Registry:
    """Return the registry of the `rules` package: every module in it is read."""
    package = importlib.import_module("lrp_engine.rules")
    found_modules = pkgutil.walk_packages(package.__path__, "lrp_engine.rules.")
    modules = sorted(m.name for m in found_modules)
    entries: dict[int, Op | Rule] = {}
    for name in modules:
        found = entries_of(importlib.import_module(name))
        entries |= {id(entry): entry for entry in found}
    return build(entries.values())
