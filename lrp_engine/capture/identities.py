"""Give modules that return what they were given a place in the graph: hook points, nn.Identity.

Such a module computes nothing, so export records no op inside it, and it could not be named as a
source or component. While a model is captured, its result is therefore an alias, which later passes
remove; the name stays with the value.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

from ..graphs.aten import ALIAS


@contextmanager
def name_identities() -> Iterator[dict[int, nn.Module]]:
    """Let every module that returns one of its arguments return an alias of it within the block.

    Yields the modules that were called, by their identity. The caller holds the lock around
    tracing: the hook is one for all modules.
    """
    called: dict[int, nn.Module] = {}

    def watch(module: nn.Module, args: tuple[Any, ...], result: Any) -> Any:
        called[id(module)] = module
        return _alias(args, result)

    handle = register_module_forward_hook(watch)
    try:
        yield called
    finally:
        handle.remove()


def _alias(args: tuple[Any, ...], result: object) -> object:
    plain = isinstance(result, Tensor) and result.is_floating_point()
    if not plain or torch.compiler.is_dynamo_compiling():
        return None
    return ALIAS(result) if any(result is given for given in args) else None
