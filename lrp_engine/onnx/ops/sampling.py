"""Ops that read images at computed places."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ..op_table import op

_MODES = {"bilinear": "bilinear", "linear": "bilinear", "bicubic": "bicubic", "cubic": "bicubic"}


@op("GridSample", since=16)
def grid_sample(
    x: Tensor,
    grid: Tensor,
    *,
    align_corners: int = 0,
    mode: str = "linear",
    padding_mode: str = "zeros",
) -> Tensor:
    """Read an image at the places of a grid."""
    mode = _MODES.get(mode, mode)
    return F.grid_sample(x, grid, mode, padding_mode, bool(align_corners))


@op("AffineGrid", since=20)
def affine_grid(theta: Tensor, size: tuple[int, ...], *, align_corners: int = 0) -> Tensor:
    """Return the grid of an affine map."""
    return F.affine_grid(theta, list(size), bool(align_corners))
