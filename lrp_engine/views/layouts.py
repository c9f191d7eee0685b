"""Read a tensor of relevance as cells (tokens, pixels) and units (heads, channels, features)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor
from torch.nn.functional import pad

_MOST_CELLS = 56  # a side of a map; larger maps are summed over squares of pixels
_LONGEST = 400  # of a series


class Layout(Enum):
    """Hold what the axes of one sample mean."""

    TOKENS = "token, feature"
    HEADS = "head, token, feature"
    HEADS_BEHIND = "token, head, feature"
    MAP = "channel, row, column"
    FRAMES = "channel, frame, row, column"
    SERIES = "channel, time"
    FEATURES = "feature"


@dataclass(frozen=True)
class _Axes:
    """Say how one sample becomes (unit, row, column, the rest), and what its units are called."""

    view: Callable[[Tensor], Tensor]
    unit: str = ""
    cells: bool = True


_AXES = {
    Layout.TOKENS: _Axes(lambda x: x[None, None]),
    Layout.HEADS: _Axes(lambda x: x[:, None], "head"),
    Layout.HEADS_BEHIND: _Axes(lambda x: x.transpose(0, 1)[:, None], "head"),
    Layout.MAP: _Axes(lambda x: x[..., None], "channel"),
    Layout.FRAMES: _Axes(lambda x: x.permute(0, 2, 3, 1), "channel"),
    Layout.SERIES: _Axes(lambda x: x[:, None, :, None], "channel"),
    Layout.FEATURES: _Axes(lambda x: x[:, None, None, None], "feature", cells=False),
}


@dataclass(frozen=True)
class Reading:
    """Cells and units of one sample's tensor.

    Args:
        layout: What its axes mean.
        units: How many units; 0 if a cell is all there is.
        rows: Rows of cells, 0 if there are none.
        columns: Columns of cells.
        pooled: The pixels that one cell sums over.
    """

    layout: Layout
    units: int
    rows: int
    columns: int
    pooled: tuple[int, int]

    @classmethod
    def of(cls, layout: Layout, sample: Tensor) -> Reading:
        """Return how a tensor (without the batch axis) is read."""
        axes = _AXES[layout]
        units, rows, columns, _ = axes.view(sample).shape
        units = units if axes.unit and (units > 1 or not axes.cells) else 0
        if not axes.cells:
            return cls(layout, units, 0, 0, (1, 1))
        most = _LONGEST if rows == 1 and layout is Layout.SERIES else _MOST_CELLS
        tokens = layout in (Layout.TOKENS, Layout.HEADS, Layout.HEADS_BEHIND)
        pooled = (1, 1) if tokens else (-(-rows // most), -(-columns // most))
        return cls(layout, units, -(-rows // pooled[0]), -(-columns // pooled[1]), pooled)

    @property
    def unit(self) -> str:
        """Return what a unit is called."""
        return _AXES[self.layout].unit

    @property
    def nodes(self) -> int:
        """The number of cells and units."""
        return self.rows * self.columns + self.units

    def amounts(self, sample: Tensor) -> Tensor:
        """Return the sums over cells, row by row, then those over units: (nodes,)."""
        x = _AXES[self.layout].view(sample.double()).sum(-1)
        found = []
        if self.rows:
            cells, (tall, wide) = x.sum(0), self.pooled
            rest = (self.rows * tall - cells.shape[0], self.columns * wide - cells.shape[1])
            filled = pad(cells, (0, rest[1], 0, rest[0]))
            found.append(filled.reshape(self.rows, tall, self.columns, wide).sum((1, 3)).flatten())
        if self.units:
            found.append(x.sum((1, 2)))
        return torch.cat(found)

    def mask(self, sample: Tensor, node: int) -> Tensor:
        """Return 1 at the entries of one node, 0 elsewhere, in the sample's shape."""
        mask = torch.zeros_like(sample)
        view, cells = _AXES[self.layout].view(mask), self.rows * self.columns
        if node >= cells:
            view[node - cells] = 1
        else:
            (row, column), (tall, wide) = divmod(node, self.columns), self.pooled
            view[:, row * tall : (row + 1) * tall, column * wide : (column + 1) * wide] = 1
        return mask
