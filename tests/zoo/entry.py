"""What the tests need to know about one architecture."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tests.references.models import FullDouble

VOCABULARY = 29
SHORT = 4
DTYPE = torch.float64

Inputs = dict[str, Tensor]


@dataclass(frozen=True)
class Entry:
    """One architecture.

    `build(**settings)` makes the model; `inputs(batch, length)` calls that fit it. `batch`,
    `length`: calls may differ in them. `attention`: the model offers "eager" and "sdpa".
    `position` is where the target sits, for models with an output per position. `output` is
    explained.
    `dtype`: what the model can compute in; double precision unless it cannot. `dynamic` is handed
    to the engine.
    """

    build: Callable[..., nn.Module]
    inputs: Callable[[int, int], Inputs]
    batch: bool = True
    length: bool = False
    attention: bool = False
    position: int | None = None
    output: str | None = None
    target: Any = 1
    dtype: torch.dtype = DTYPE
    dynamic: Any = True

    def precision(self) -> AbstractContextManager[Any]:
        """Inside, a model in double precision stays in it."""
        return StayDouble() if self.dtype == torch.float64 else nullcontext()

    def model(self, attention: str | None = None, seed: int = 0) -> nn.Module:
        """The model with weights from which no step is close to trivial."""
        settings = {"attn_implementation": attention or "sdpa"} if self.attention else {}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = self.build(**settings).eval()
        return lively(model, seed).to(self.dtype)


class StayDouble(FullDouble):
    """Whole numbers become double, too, where a model asks for single precision."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is Tensor.float and not args[0].dtype.is_floating_point:
            return args[0].double()
        return super().__torch_function__(func, types, args, kwargs)


def lively(model: nn.Module, seed: int) -> nn.Module:
    """Draws weights so that biases, norms and running statistics all matter."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            noise = torch.randn(tensor.shape, generator=generator)
            if name.endswith("running_var"):
                tensor.copy_(1 + 0.3 * noise.tanh())
            elif tensor.dtype.is_floating_point and _is_learnt(model, name):
                scale = tensor.abs().mean() if tensor.dim() == 1 else 0.0
                tensor.copy_(scale + 0.25 * noise)
    return model


def _is_learnt(model: nn.Module, name: str) -> bool:
    return name.endswith("running_mean") or name in dict(model.named_parameters())


def numbers(*shape: int, seed: int = 0) -> Tensor:
    """Standard normal entries; the first samples do not depend on how many there are."""
    generators = (torch.Generator().manual_seed(seed * 1000 + i) for i in range(shape[0]))
    return torch.stack([torch.randn(shape[1:], generator=g, dtype=DTYPE) for g in generators])


def ids(batch: int, length: int, seed: int = 0, high: int = VOCABULARY) -> Tensor:
    """Token ids; the first samples do not depend on how many there are."""
    generators = (torch.Generator().manual_seed(seed * 1000 + i) for i in range(batch))
    return torch.stack([torch.randint(3, high, (length,), generator=g) for g in generators])


def padded(batch: int, length: int) -> Tensor:
    """A mask that hides the last two places of every other sample."""
    mask = torch.ones(batch, length, dtype=torch.long)
    mask[::2, -2:] = 0
    return mask


def tokens(batch: int, length: int) -> Inputs:
    """Token ids alone."""
    return {"input_ids": ids(batch, length)}


def masked_tokens(batch: int, length: int) -> Inputs:
    """Token ids, some of them padding."""
    return {"input_ids": ids(batch, length), "attention_mask": padded(batch, length)}


def at(*place: int) -> Callable[[Tensor], Tensor]:
    """A metric: one entry of every sample's output, a pixel's class for instance."""
    return lambda output: output[(slice(None), *place)].sum()


def pixels(batch: int, length: int, size: int = 16, channels: int = 3) -> Inputs:
    """Images; the length says nothing here."""
    return {"pixel_values": numbers(batch, channels, size, size)}
