"""Watches tensors and ops while programs run: slow, and independent of any plan."""

from __future__ import annotations

import weakref
from typing import Any

from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode


class LiveBytes(TorchDispatchMode):
    """`peak`: the most bytes alive at once in storages that were made under this mode."""

    def __init__(self) -> None:
        super().__init__()
        self.peak = 0
        self._made: list[weakref.ref[Tensor]] = []
        self._foreign: list[weakref.ref[Tensor]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        known = self._storages([r() for r in self._made])
        given = [t for t in pytree.tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        self._foreign += [weakref.ref(t) for t in given if not self._storages(t).keys() & known]
        result = func(*args, **(kwargs or {}))
        self._made += [weakref.ref(t) for t in pytree.tree_leaves(result) if isinstance(t, Tensor)]
        self._made = [r for r in self._made if r() is not None]
        self._foreign = [r for r in self._foreign if r() is not None]
        foreign = self._storages([r() for r in self._foreign])
        alive = self._storages([r() for r in self._made])
        self.peak = max(self.peak, sum(v for k, v in alive.items() if k not in foreign))
        return result

    @staticmethod
    def _storages(tree: Any) -> dict[int, int]:
        tensors = [t for t in pytree.tree_leaves(tree) if isinstance(t, Tensor)]
        storages = [t.untyped_storage() for t in tensors]
        return {s.data_ptr(): s.nbytes() for s in storages}


class Arrivals(TorchDispatchMode):
    """`seen`: which ops arrived at torch, with what arguments (of tensors, the shapes)."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Any] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        leaves, spec = pytree.tree_flatten((args, kwargs or {}))
        shown = [tuple(x.shape) if isinstance(x, Tensor) else x for x in leaves]
        self.seen.append((func, str(spec), shown))
        return func(*args, **(kwargs or {}))
