"""Read a transformer's cache of keys and values as tensors, and build it again inside the call.

torch.export knows no cache objects. Every layer's keys and values become inputs of their own, named
`past_key_values.3.keys`; the model is given a new cache at every call, so that the user's is never
written to.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeGuard

from torch import Tensor
from torch.utils import _pytree as pytree

from ..errors import InputError

POSITIONS = 2  # the axis of keys and values that grows with the text


class KeysValues(NamedTuple):
    """Hold what one layer has cached: keys and values, each (batch, head, position, feature)."""

    keys: Tensor
    values: Tensor


def open_caches(call: Any) -> Any:
    """Return a call with the tensors of every layer in the place of each cache.

    Raises InputError for caches that hold more than the keys and values of all positions.
    """
    return pytree.tree_map(_opened, call, is_leaf=_is_cache)


def close_caches(call: Any) -> Any:
    """Return a call with a new cache in the place of the tensors of its layers."""
    return pytree.tree_map(_closed, call, is_leaf=_is_opened)


def _is_cache(thing: object) -> bool:
    homes = [(k.__module__, k.__name__) for k in type(thing).__mro__]
    return ("transformers.cache_utils", "Cache") in homes


def _is_opened(thing: object) -> TypeGuard[tuple[KeysValues, ...]]:
    return type(thing) is tuple and bool(thing) and all(isinstance(x, KeysValues) for x in thing)


def _opened(thing: Any) -> Any:
    if not _is_cache(thing):
        return thing
    layers = list(getattr(thing, "layers", ()))
    if type(thing).__name__ != "DynamicCache" or any(
        type(layer).__name__ != "DynamicLayer" for layer in layers
    ):
        kinds = {type(thing).__name__, *(type(layer).__name__ for layer in layers)}
        raise InputError(
            f"the inputs hold a cache ({', '.join(sorted(kinds))}) that is more than the keys and"
            " values of all positions: give a DynamicCache of plain layers, or explain the whole"
            " text without a cache"
        )
    if not layers or not all(isinstance(layer.keys, Tensor) for layer in layers):
        raise InputError("the inputs hold a cache with nothing in it: leave it out")
    return tuple(KeysValues(layer.keys, layer.values) for layer in layers)


def _closed(thing: Any) -> Any:
    if not _is_opened(thing):
        return thing
    from transformers import DynamicCache  # only where a cache of transformers was given

    return DynamicCache(ddp_cache_data=[tuple(layer) for layer in thing])
