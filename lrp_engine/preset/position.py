"""Locate ops in the graph relative to others: first, last, before or after a named place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property

from torch import fx

from ..errors import PresetError
from ..graphs.nodes import module_stack
from ..graphs.walk import Step, closure, inputs, users

_POSITION = re.compile(r"(first|last)(?:\s+([0-9]{1,6}))?")


@dataclass(frozen=True)
class RowPosition:
    """A row's `first`, `last` or `first 3`: counted in ops of one family, along the longest path.

    An op is among the first k if no way from a source to it has more than k - 1 others before it.
    """

    from_input: bool
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> RowPosition:
        """Parse the `position` of a row in a preset file."""
        found = _POSITION.fullmatch(text)
        if not found or int(found[2] or 1) == 0:
            raise PresetError(
                f"unknown position {text!r}; write 'first', 'last', 'first 3' or 'last 2'"
            )
        return cls(found[1] == "first", int(found[2] or 1))

    def __str__(self) -> str:
        end = "first" if self.from_input else "last"
        return end if self.count == 1 else f"{end} {self.count}"


@dataclass(frozen=True)
class Places:
    """Answer a row's questions about one node.

    `families` holds the live ops that relevance arrives at. Before they are known, no node is
    first or last.
    """

    graph: fx.Graph
    families: Mapping[fx.Node, str] = field(default_factory=dict)

    def is_at(self, node: fx.Node, family: str, position: RowPosition) -> bool:
        """Return whether a node is among the first (last) ops of its family."""
        depths = self._depths if position.from_input else self._heights
        return depths.get(family, {}).get(node, position.count + 1) <= position.count

    def is_ahead(self, node: fx.Node, family: str) -> bool:
        """Return whether no op of a family, of which there are some, lies on a way to a node."""
        if family not in self.families.values():
            return False
        key = (family, inputs)
        if key not in self._known:
            paths = self._paths(family, list(self.graph.nodes), inputs)
            self._known[key] = {n for n, count in paths.items() if count == 0}
        return node in self._known[key]

    def is_before(self, node: fx.Node, pattern: str) -> bool:
        """Return whether a node leads to a named place, without being part of it."""
        return node in self._reached(pattern, inputs)

    def is_after(self, node: fx.Node, pattern: str) -> bool:
        """Return whether a node depends on a named place, without being part of it."""
        return node in self._reached(pattern, users)

    def named(self, pattern: str) -> set[fx.Node]:
        """Return the nodes that a glob over node names or module paths matches."""
        return {n for n in self.graph.nodes if _is_named(n, pattern)}

    def _reached(self, pattern: str, step: Step) -> set[fx.Node]:
        key = (pattern, step)
        if key not in self._known:
            named = self.named(pattern)
            self._known[key] = set(closure((n for m in named for n in step(m)), step)) - named
        return self._known[key]

    @cached_property
    def _known(self) -> dict[tuple[str, Step], set[fx.Node]]:
        return {}

    @cached_property
    def _depths(self) -> dict[str, dict[fx.Node, int]]:
        return self._counted(list(self.graph.nodes), inputs)

    @cached_property
    def _heights(self) -> dict[str, dict[fx.Node, int]]:
        return self._counted(list(reversed(self.graph.nodes)), users)

    def _counted(self, order: list[fx.Node], step: Step) -> dict[str, dict[fx.Node, int]]:
        """Count, for each family, its ops on the longest path to each of them."""
        found: dict[str, dict[fx.Node, int]] = {}
        for family in set(self.families.values()):
            depth = self._paths(family, order, step)
            found[family] = {n: depth[n] for n, f in self.families.items() if f == family}
        return found

    def _paths(self, family: str, order: list[fx.Node], step: Step) -> dict[fx.Node, int]:
        """Count a family's ops on the longest path to each node, itself included."""
        depth: dict[fx.Node, int] = {}
        for node in order:
            own = int(self.families.get(node) == family)
            depth[node] = own + max((depth[n] for n in step(node)), default=0)
        return depth


def _is_named(node: fx.Node, pattern: str) -> bool:
    paths = (path for path, _ in module_stack(node))
    return fnmatchcase(node.name, pattern) or any(fnmatchcase(p, pattern) for p in paths)
