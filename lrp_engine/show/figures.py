"""Draw one sample's relevance with matplotlib, which is imported when a figure is made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..errors import InputError
from .colours import COLOUR_MAP, limit_of
from .positions import label_positions

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_figure(
    relevance: Tensor,
    explained: float,
    image: Tensor | None = None,
    tokens: Sequence[str] | None = None,
) -> Figure:
    """Draw one sample: a heat map if it is image-like, else one bar per position.

    Args:
        relevance: (channels, height, width), (positions, features) or (positions,); with `image`,
            (height, width) is a heat map, too.
        explained: The explained number, for the title.
        image: Shown beside the heat map, (channels, height, width) or (height, width).
        tokens: One label per position.

    Raises:
        InputError: tokens do not fit the positions, or matplotlib is missing.
    """
    relevance = relevance.detach().float().cpu()
    title = f"explained: {explained:.3g}"
    if relevance.dim() == 3 or (relevance.dim() == 2 and image is not None):
        return _draw_heat_map(relevance, image, title)
    per_position = relevance.sum(-1) if relevance.dim() == 2 else relevance
    return _draw_bars(per_position.reshape(-1), tokens, title)


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure, sizes in inches. Raises InputError if matplotlib is missing."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise InputError("plots need matplotlib: pip install matplotlib") from error
    return Figure(figsize=(width, height), layout="constrained")


def _draw_heat_map(relevance: Tensor, image: Tensor | None, title: str) -> Figure:
    plane = relevance.sum(0) if relevance.dim() == 3 else relevance
    figure = new_figure(8 if image is not None else 4.6, 4)
    axes = figure.subplots(1, 2 if image is not None else 1, squeeze=False)[0]
    if image is not None:
        axes[0].imshow(_scale(image).numpy(), cmap="gray")
        axes[0].set_title("input")
    limit = limit_of(plane)
    shown = axes[-1].imshow(plane.numpy(), cmap=COLOUR_MAP, vmin=-limit, vmax=limit)
    axes[-1].set_title(title)
    figure.colorbar(shown, ax=axes[-1], label="relevance (red: for, blue: against)")
    for axis in axes:
        axis.set_axis_off()
    return figure


def _scale(image: Tensor) -> Tensor:
    """Return an image between 0 and 1, its channels last."""
    picture = image.detach().float().cpu()
    picture = picture.permute(1, 2, 0) if picture.dim() == 3 else picture
    low, high = picture.min(), picture.max()
    return ((picture - low) / (high - low).clamp_min(1e-12)).squeeze(-1)


def _draw_bars(amounts: Tensor, tokens: Sequence[str] | None, title: str) -> Figure:
    labels = label_positions(len(amounts), tokens)
    figure = new_figure(max(4.0, 0.42 * len(labels)), 3.4)
    axis = figure.subplots()
    colours = ["#c0392b" if a >= 0 else "#2c5fa8" for a in amounts.tolist()]
    axis.bar(range(len(labels)), amounts.tolist(), color=colours)
    steps = torch.arange(len(labels)).tolist()
    axis.set_xticks(steps, labels, rotation=45, ha="right")
    axis.axhline(0, color="black", linewidth=0.8)
    axis.set_ylabel("relevance")
    axis.set_title(title)
    return figure
