"""Describe values so that they compare equal before, during and after a trace.

While torch traces a module, other tensors stand in the places of its parameters and buffers, also
inside containers: an LSTM keeps a list of its weights. Here a stand-in is the tensor that it
stands for, and a container is what is inside it.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn

from .premises import CONTAINERS, DEEPEST, LARGEST, PLAIN, contents_of, has_fields

_TENSORS = ("_parameters", "_buffers")


@dataclass
class StandIns:
    """The tensors that stand for a module's own at this moment, and those that have done so."""

    own: tuple[tuple[Mapping[str, object], str, object], ...]
    _stands_for: dict[int, tuple[object, object]] = field(default_factory=dict)

    @classmethod
    def of(cls, root: nn.Module) -> StandIns:
        """Remember a module's own tensors and their places, before it is traced."""
        homes = (vars(m)[kind] for m in root.modules() for kind in _TENSORS)
        return cls(tuple((home, name, x) for home in homes for name, x in home.items()))

    def look(self) -> None:
        """Find what stands in their places now. Stand-ins are kept: an id must stay theirs."""
        for home, name, own in self.own:
            now = home.get(name)
            if now is not own and isinstance(now, Tensor):
                self._stands_for[id(now)] = (now, own)

    def describe(self, value: object, depth: int = 0) -> object:
        """Return what to compare by ==; it changes whenever the value, or what is inside, does."""
        if isinstance(value, weakref.ref):
            return "ref", self.describe(value(), depth)
        if isinstance(value, PLAIN):
            return type(value), value
        if isinstance(value, CONTAINERS) and len(value) <= LARGEST and depth < DEEPEST:
            inside = tuple(self.describe(part, depth + 1) for part in contents_of(value))
            return type(value), inside
        _, value = self._stands_for.get(id(value), (None, value))
        if depth == 0 and not isinstance(value, (Tensor, nn.Module)) and has_fields(value):
            fields = {k: v for k, v in vars(value).items() if isinstance(v, (*PLAIN, *CONTAINERS))}
            return id(value), value, self.describe(fields, 1)
        return id(value), value
