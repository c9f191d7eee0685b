"""Where a model keeps what the graph reads, so that every call can see whether it still does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from torch import Tensor, nn


class TensorHome(NamedTuple):
    """One entry of a module's dictionaries: a parameter, a buffer, an attribute, or a module in
    it. `name` is the model's own for it.
    """

    home: Mapping[str, Any]
    key: str
    what: Tensor | nn.Module
    name: str


def find_homes(model: nn.Module, tensors: Mapping[str, Tensor]) -> tuple[TensorHome, ...]:
    """The places of tensors (by the model's names for them) and of the modules on the way there.

    A tensor that the model does not keep under that name has none.
    """
    found: dict[str, TensorHome] = {}
    for name, tensor in tensors.items():
        way = list(_way(model, name))
        if way and way[-1].what is tensor:
            found |= {place.name: place for place in way}
    return tuple(found.values())


def _way(model: nn.Module, name: str) -> Iterator[TensorHome]:
    """From the model down to the tensor, as far as there is something."""
    *path, last = name.split(".")
    module = model
    for depth, key in enumerate(path, 1):
        child = module._modules.get(key)
        if child is None:
            return
        yield TensorHome(module._modules, key, child, ".".join(path[:depth]))
        module = child
    homes: tuple[Mapping[str, Any], ...] = (module._parameters, module._buffers, vars(module))
    for home in homes:
        tensor = home.get(last)
        if isinstance(tensor, Tensor):
            yield TensorHome(home, last, tensor, name)
            return
