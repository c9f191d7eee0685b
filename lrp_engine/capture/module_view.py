"""The user's module as capture needs it, without a change to the module itself."""

from __future__ import annotations

import copy
import functools
import inspect
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.utils import _pytree as pytree

_PLAIN = (Tensor, int, float, bool, str, type(None))
_CONTAINERS = (dict, OrderedDict, list, set)


@contextmanager
def preserve_attributes(*roots: nn.Module) -> Iterator[None]:
    """Takes back what the model writes to itself while it is captured.

    Attributes, and what their dicts, lists and sets hold: hooks that a model installs on its own
    modules when it is first called would otherwise be there twice after the next call.
    """
    modules = {id(m): m for root in roots for m in root.modules()}.values()
    before = [(vars(m), dict(vars(m)), _contents(vars(m))) for m in modules]
    try:
        yield
    finally:
        for now, attributes, contents in before:
            if _differs(now, attributes):
                now.clear()
                now.update(attributes)
            for name, content in contents.items():
                _refill(attributes[name], content)


def _contents(attributes: dict[str, Any]) -> dict[str, Any]:
    """Shallow copies of the plain containers among a module's attributes."""
    return {k: copy.copy(v) for k, v in attributes.items() if type(v) in _CONTAINERS}


def _refill(container: Any, content: Any) -> None:
    if isinstance(container, dict):
        if _differs(container, content):
            container.clear()
            container.update(content)
    elif isinstance(container, list):
        container[:] = content
    else:
        container.clear()
        container.update(content)


def _differs(now: dict[Any, Any], before: dict[Any, Any]) -> bool:
    return list(now) != list(before) or any(now[k] is not v for k, v in before.items())


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
