"""Release what torch keeps of a graph when nobody uses it any more."""

from __future__ import annotations

import linecache
import weakref
from types import FunctionType

from torch import fx
from torch.fx import graph_module

from .nodes import value


def short_lived(module: fx.GraphModule) -> fx.GraphModule:
    """Return a module whose source text goes with its code; fx would keep it for ever."""
    function = type(module).forward
    if isinstance(function, FunctionType):
        _finally(function, _forget_source, function.__code__.co_filename)
    return module


def clear_caches_with(owner: object, graph: fx.Graph) -> None:
    """Empty torch's cache of traced results for the sizes of a graph when its owner goes.

    torch.export itself keeps the sizes alive; they are small, and the cache is not.
    """
    modes = (getattr(value(node), "fake_mode", None) for node in graph.nodes)
    shapes = next((mode.shape_env for mode in modes if mode is not None), None)
    cache = getattr(shapes, "fake_tensor_cache", None)
    if isinstance(cache, dict):
        _finally(owner, dict.clear, cache)


def _forget_source(file: str) -> None:
    linecache.cache.pop(file, None)
    # Private to torch: if it is renamed, a few kilobytes of text are left.
    getattr(getattr(graph_module, "_loader", None), "eval_cache", {}).pop(file, None)


def _finally(owner: object, call: object, *arguments: object) -> None:
    weakref.finalize(owner, call, *arguments).atexit = False  # type: ignore[arg-type]
