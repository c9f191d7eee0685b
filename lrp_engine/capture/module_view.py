"""The user's module as capture needs it, without a change to the module itself."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.utils import _pytree as pytree

_PLAIN = (Tensor, int, float, bool, str, type(None))


@contextmanager
def left_as_it_was(module: nn.Module) -> Iterator[None]:
    """Takes back what the model writes to its own attributes while it is captured."""
    before = [(m, dict(vars(m))) for m in module.modules()]
    try:
        yield
    finally:
        for m, attributes in before:
            now = vars(m)
            if now.keys() != attributes.keys() or any(now[k] is not attributes[k] for k in now):
                now.clear()
                now.update(attributes)


class ModuleView:
    """A shallow copy that shares every submodule and parameter; only its `forward` differs.

    Caches for generation are switched off (`use_cache`), and results that are no tensors or
    plain values, such as cache objects, are left out.
    """

    def __init__(self, module: nn.Module) -> None:
        self.left_out: set[str] = set()
        # Not copy.copy: modules with parametrisations (weight norm) refuse it.
        self.module = object.__new__(type(module))
        vars(self.module).update(vars(module))
        original = module.forward
        accepts_cache = "use_cache" in inspect.signature(original).parameters

        @functools.wraps(original)
        def forward(*args: Any, **kwargs: Any) -> Any:
            if accepts_cache:
                kwargs.setdefault("use_cache", False)
            return pytree.tree_map(self._plain, original(*args, **kwargs))

        object.__setattr__(self.module, "forward", forward)

    def note(self) -> str:
        """What was left out of the model's result."""
        return (
            f"left out of the output: {', '.join(sorted(self.left_out))}" if self.left_out else ""
        )

    def _plain(self, leaf: Any) -> Any:
        if isinstance(leaf, _PLAIN):
            return leaf
        self.left_out.add(type(leaf).__name__)
        return None
