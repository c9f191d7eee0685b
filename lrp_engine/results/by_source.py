"""Tensors by source name."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping

from torch import Tensor

from ..errors import InputError, suggest
from ..graphs.nodes import shape_text


class BySource(Mapping[str, Tensor]):
    """Tensors by source name. With one source, `"input"` is another name for it.

    `require_finite` is called before a tensor is given out, and raises NotFiniteError if relevance
    was found to be infinite or undefined.
    """

    def __init__(
        self, tensors: Mapping[str, Tensor], require_finite: Callable[[], None] | None = None
    ) -> None:
        known = tensors._tensors if isinstance(tensors, BySource) else tensors
        self._tensors: dict[str, Tensor] = dict(known)
        self._require_finite = require_finite

    def __getitem__(self, name: str) -> Tensor:
        if self._require_finite is not None:
            self._require_finite()
        if name in self._tensors:
            return self._tensors[name]
        if name == "input" and len(self._tensors) == 1:
            return next(iter(self._tensors.values()))
        close = difflib.get_close_matches(name, self._tensors, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise KeyError(f"unknown source {name!r}; choose from: {', '.join(self._tensors)}{hint}")

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def __repr__(self) -> str:
        inside = ", ".join(f"{k}: {shape_text(v)}" for k, v in self._tensors.items())
        return f"{{{inside}}}"


def find_source(tensors: Mapping[str, Tensor], name: str | None = None) -> str:
    """Return the full name of a source; None is the only one.

    Raises:
        InputError: there is no such source, or several and none was named.
    """
    names = list(tensors)
    if name is not None and name in names:
        return name
    if len(names) == 1 and name in (None, "input"):
        return names[0]
    if name is None:
        raise InputError(f"there are several sources; name one of {', '.join(names)}")
    raise InputError(f"there is no source {name!r}{suggest(name, names)}")
