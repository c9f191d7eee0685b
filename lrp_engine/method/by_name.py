"""Pickle op records and rules by name: they are code, as functions are."""

from __future__ import annotations

import importlib
import sys

from ..errors import RuleError


def reference_to(entry: object) -> tuple[str, str, int | None]:
    """Return the module, the name, and the place in a tuple, under which an entry is found.

    Raises RuleError for one that no module defines, since no other process could find it.
    """
    for module, content in list(sys.modules.items()):
        for name, value in list(getattr(content, "__dict__", {}).items()):
            if value is entry:
                return module, name, None
            if type(value) is tuple and any(part is entry for part in value):
                return module, name, next(i for i, part in enumerate(value) if part is entry)
    raise RuleError(
        f"{entry!r} cannot be pickled: no module defines it under a name, where another process"
        " could find it. Define it at the top level of a module."
    )


def find_entry(module: str, name: str, place: int | None) -> object:
    """Return the entry that `reference_to` refers to."""
    found: object = getattr(importlib.import_module(module), name)
    return found if place is None else found[place]  # type: ignore[index]
