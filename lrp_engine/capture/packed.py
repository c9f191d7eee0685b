"""Capture recurrent layers over packed sequences as layers over padded ones, with the lengths.

torch.export cannot trace packing: how many samples are left at each step is data. While a model is
captured, packing keeps the padded tensor and the lengths, and recurrent layers take both. What
else a model does with a packed sequence is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.modules import rnn as layers
from torch.nn.utils import rnn as packing

from ..kernels.padded_recurrence import find_inside, padded_recurrence, require_full_length

_KINDS = ("lstm", "gru", "rnn_tanh", "rnn_relu")


@dataclass(frozen=True)
class PackedData:
    """Hold padded values (time, batch, ...) where a packed sequence has those of all steps."""

    padded: Tensor

    @property
    def dtype(self) -> torch.dtype:
        """The values' dtype."""
        return self.padded.dtype

    @property
    def device(self) -> torch.device:
        """The device that holds the values."""
        return self.padded.device

    def dim(self) -> int:
        """Return how many axes packed values have."""
        return self.padded.dim() - 1

    def size(self, axis: int) -> int:
        """Return the size of an axis behind the steps."""
        return self.padded.size(axis)


class LongestLength:
    """Stand for the length of the longest sequence, which any total length has to reach."""

    def __gt__(self, total: object) -> bool:
        return False


@dataclass(frozen=True)
class PackedLengths:
    """Hold lengths (batch,) where a packed sequence has the number of samples at each step."""

    lengths: Tensor
    device: torch.device = torch.device("cpu")  # noqa: RUF009 - a constant

    def size(self, axis: int) -> LongestLength:
        """Return what stands for the number of steps."""
        return LongestLength()

    def __getitem__(self, step: int) -> int:
        """Return the size of the batch, which is that of the first step."""
        if step != 0:
            raise TypeError("PackedLengths: how many samples a step has is data")
        return self.lengths.shape[0]


class _Functions:
    """Stand for `torch._VF` in a file of torch's: some of its functions are others."""

    def __init__(self, own: Any, **others: Callable[..., object]) -> None:
        self._own, self._others = own, others

    def __getattr__(self, name: str) -> Any:
        return self._others.get(name) or getattr(self._own, name)


@contextmanager
def keep_padded() -> Iterator[None]:
    """Let packing keep the padded tensor, and recurrent layers run over it."""
    own = torch._VF
    runs = {kind: partial(_run_layer, kind, getattr(own, kind)) for kind in _KINDS}
    functions: dict[str, Callable[..., Any]] = {
        "_pack_padded_sequence": _pack,
        "_pad_packed_sequence": _pad,
    }
    with (
        mock.patch.object(packing, "_VF", _Functions(own, **functions)),
        mock.patch.object(layers, "_VF", _Functions(own, **runs)),
        mock.patch.object(layers, "int", _size, create=True),
    ):
        yield


def _size(number: Any) -> Any:
    """Return a number as int does, a free size as it is: a layer's check would fix it."""
    return number if isinstance(number, torch.SymInt) else int(number)


def _pack(x: Tensor, lengths: Tensor, batch_first: bool) -> tuple[PackedData, PackedLengths]:
    return PackedData(x.transpose(0, 1) if batch_first else x), PackedLengths(lengths)


def _pad(
    data: PackedData,
    sizes: PackedLengths,
    batch_first: bool,
    filling: float,
    total: int | LongestLength,
) -> tuple[Tensor, Tensor]:
    """Return what was padded all along, filled behind each sequence, and the lengths."""
    x, lengths = data.padded, sizes.lengths
    if isinstance(total, LongestLength):
        lengths = require_full_length(lengths, x.shape[0])
    else:
        x = F.pad(x, [0, 0] * (x.dim() - 1) + [0, total - x.shape[0]])
    inside = find_inside(x.shape[0], lengths.to(x.device))
    inside = inside.reshape(*inside.shape[:2], *[1] * (x.dim() - 2))
    x = torch.where(inside, x, torch.full((), filling, dtype=x.dtype, device=x.device))
    return (x.transpose(0, 1) if batch_first else x), lengths


def _run_layer(kind: str, own: Callable[..., Any], *given: Any) -> Any:
    """Run a layer over a packed sequence as one over the padded; any other as torch does."""
    if not isinstance(given[0], PackedData):
        return own(*given)
    data, sizes, hx, params, *settings = given
    states: Sequence[Tensor] = hx if kind == "lstm" else [hx]
    lengths = sizes.lengths
    out, *last = padded_recurrence(kind, data.padded, lengths, list(states), params, *settings)
    return PackedData(out), *last
