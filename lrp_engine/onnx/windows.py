"""Windows that slide over the axes after batch and channels: padding, steps, sizes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .unsupported import Refused
from .values import Ints


@dataclass(frozen=True)
class Window:
    """Kernel, dilations and strides per axis; pads as (before, after)."""

    kernel: Ints
    dilations: Ints
    strides: Ints
    pads: list[tuple[int, int]]

    @property
    def rank(self) -> int:
        """The number of axes that it slides over."""
        return len(self.kernel)

    @property
    def same(self) -> bool:
        """True if the padding is the same at both ends."""
        return all(isinstance(a, int) and isinstance(b, int) and a == b for a, b in self.pads)

    @property
    def flat(self) -> list[int]:
        """The padding as torch's pad wants it."""
        return [n for pair in reversed(self.pads) for n in pair]

    def pad_input(self, x: Tensor, filling: float = 0.0) -> tuple[Tensor, list[int]]:
        """Return x and the padding that is left to the op: none if x had to be padded first."""
        if self.same:
            return x, [a for a, _ in self.pads]
        return F.pad(x, self.flat, value=filling), [0] * self.rank

    def outputs(self, sizes: Ints, ceil: bool) -> list[int]:
        """Return how many steps there are per axis; none begins in the padding at the end."""
        found = []
        for i, size in enumerate(sizes):
            before, after = self.pads[i]
            reach = (self.kernel[i] - 1) * self.dilations[i] + 1
            room, step = size + before + after - reach, self.strides[i]
            count = (room + step - 1) // step + 1 if ceil else room // step + 1
            if ceil and isinstance(count, int) and (count - 1) * step >= size + before:
                count -= 1
            found.append(count)
        return found


def read_window(
    x: Tensor | None,
    kernel: Ints,
    auto_pad: str,
    dilations: Ints | None,
    pads: Ints | None,
    strides: Ints | None,
) -> Window:
    """Read the attributes that convolutions and pools share."""
    rank = len(kernel)
    dilations, strides = dilations or (1,) * rank, strides or (1,) * rank
    _refuse_other_rank(rank, x, dilations=dilations, strides=strides, pads=(pads or ())[::2])
    if auto_pad in ("SAME_UPPER", "SAME_LOWER") and x is not None:
        found = [
            _same_size(x.shape[2 + i], kernel[i], dilations[i], strides[i], auto_pad)
            for i in range(rank)
        ]
    elif auto_pad in ("NOTSET", "VALID", ""):
        pads = (0,) * (2 * rank) if pads is None or auto_pad == "VALID" else pads
        found = [(pads[i], pads[i + rank]) for i in range(rank)]
    else:
        raise Refused(f"auto_pad {auto_pad!r} is not supported")
    made = Window(kernel, dilations, strides, found)
    if x is not None:
        _refuse_too_large(made, tuple(x.shape[2:]))
    return made


def _refuse_too_large(window: Window, sizes: Ints) -> None:
    """Refuse a window that is larger than what it slides over, where the sizes are numbers."""
    for i, size in enumerate(sizes[: window.rank]):
        before, after = window.pads[i]
        reach = (window.kernel[i] - 1) * window.dilations[i] + 1
        room = size + before + after
        if isinstance(room, int) and isinstance(reach, int) and reach > room:
            raise Refused(f"its window of {reach:,} entries is larger than the {room:,} there are")


def _refuse_other_rank(rank: int, x: Tensor | None, **lists: Ints) -> None:
    axes = rank if x is None else x.dim() - 2
    if axes != rank:
        raise Refused(f"its window has {rank} axes, its input {axes} behind batch and channels")
    for name, numbers in lists.items():
        if numbers and len(numbers) != rank:
            raise Refused(f"attribute {name!r} is not of as many axes as its window, {rank}")


def _same_size(size: int, kernel: int, dilation: int, stride: int, how: str) -> tuple[int, int]:
    """Return padding that gives ceil(size / stride) steps."""
    reach = (kernel - 1) * dilation + 1
    if stride == 1:
        total = reach - 1
    else:
        total = torch.sym_max(((size + stride - 1) // stride - 1) * stride + reach - size, 0)  # type: ignore[no-untyped-call]
    less = total // 2
    return (less, total - less) if how == "SAME_UPPER" else (total - less, less)
