"""Keep the random draws of one explanation the same wherever its model runs again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx
from torch.utils import _pytree as pytree

from ..capture import Captured
from ..errors import InputError
from ..graphs.nodes import device_of, value

_LARGEST_SEED = 2**63 - 1


@dataclass(frozen=True)
class RandomState:
    """The states of torch's generators that a model draws from; empty if it draws nothing."""

    states: tuple[tuple[torch.device, Tensor], ...] = ()

    @classmethod
    def now(cls, captured: Captured) -> RandomState:
        """Read the states of the generators that this model draws from."""
        return cls(tuple((device, _generator(device).get_state()) for device in _devices(captured)))

    def restore(self) -> None:
        """Put the generators into these states."""
        for device, state in self.states:
            _generator(device).set_state(state)

    @contextmanager
    def replay(self) -> Iterator[None]:
        """Draw from these states within the block; the generators are as before at its end."""
        after = [(_generator(device), _generator(device).get_state()) for device, _ in self.states]
        self.restore()
        try:
            yield
        finally:
            for generator, state in after:
                generator.set_state(state)


NO_DRAWS = RandomState()


@contextmanager
def seeded(captured: Captured, seed: int | None) -> Iterator[None]:
    """Draw from generators with this seed; the user's own go on as if nothing had been drawn.

    None draws from the user's generators, as one call of the model does.

    Raises:
        InputError: the seed is no integer from 0 to 2**63 - 1.
    """
    if seed is None:
        yield
        return
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= _LARGEST_SEED:
        raise InputError(f"seed must be an integer from 0 to 2**63 - 1, got {seed!r}")
    with RandomState.now(captured).replay():
        for device in _devices(captured):
            _generator(device).manual_seed(seed)
        yield


def _devices(captured: Captured) -> tuple[torch.device, ...]:
    """Return where a model draws."""
    return tuple(dict.fromkeys(_device_of(node) for node in captured.draws))


def _device_of(node: fx.Node) -> torch.device:
    tensors = [v for v in pytree.tree_leaves(value(node)) if isinstance(v, Tensor)]
    return device_of(tensors[0]) if tensors else torch.device("cpu")


def _generator(device: torch.device) -> torch.Generator:
    """Return torch's own generator of a device."""
    if device.type == "cpu":
        return torch.default_generator
    module: Any = torch.get_device_module(device)
    index = module.current_device() if device.index is None else device.index
    generator: torch.Generator = module.default_generators[index]
    return generator
