"""Find where a model keeps the tensors of its graph, so that every call can check them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from torch import Tensor, nn


class TensorHome(NamedTuple):
    """One entry of a module's dictionaries: a parameter, a buffer, an attribute, or a submodule.

    `name` is the model's own name for it.
    """

    home: Mapping[str, object]
    key: str
    what: Tensor | nn.Module
    name: str


def find_homes(model: nn.Module, tensors: Mapping[str, Tensor]) -> tuple[TensorHome, ...]:
    """Return where tensors are kept, and the modules on the way there.

    Args:
        model: The module that was captured.
        tensors: Tensors by the model's names for them. One that the model does not keep under its
            name has no home.
    """
    found: dict[str, TensorHome] = {}
    for name, tensor in tensors.items():
        path = list(_path(model, name))
        if path and path[-1].what is tensor:
            found |= {home.name: home for home in path}
    return tuple(found.values())


def _path(model: nn.Module, name: str) -> Iterator[TensorHome]:
    """Walk from the model down to the tensor, as far as there is something."""
    *path, last = name.split(".")
    module = model
    for depth, key in enumerate(path, 1):
        child = module._modules.get(key)
        if child is None:
            return
        yield TensorHome(module._modules, key, child, ".".join(path[:depth]))
        module = child
    homes: tuple[Mapping[str, object], ...] = (module._parameters, module._buffers, vars(module))
    for home in homes:
        tensor = home.get(last)
        if isinstance(tensor, Tensor):
            yield TensorHome(home, last, tensor, name)
            return
