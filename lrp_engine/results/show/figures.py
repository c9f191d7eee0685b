"""matplotlib figures of one sample's relevance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ...errors import InputError
from .colours import COLOUR_MAP, limit_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..explanation import Explanation


def figure(
    explanation: Explanation,
    source: str,
    sample: int,
    image: Tensor | None,
    tokens: Sequence[str] | None,
) -> Figure:
    """A heat map if the source is image-like (channels, height, width), bars per position else."""
    relevance = explanation.relevance[source][sample].detach().float().cpu()
    title = f"explained: {float(explanation.explained.detach().reshape(-1)[sample]):.3g}"
    if relevance.dim() == 3 or (relevance.dim() == 2 and image is not None):
        return _heat_map(relevance, image, title)
    per_position = relevance.sum(-1) if relevance.dim() == 2 else relevance
    return _bars(per_position.reshape(-1), tokens, title)


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, in inches. Raises InputError without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise InputError("plots need matplotlib: pip install 'lrp-engine[demo]'") from error
    return Figure(figsize=(width, height), layout="constrained")


def _heat_map(relevance: Tensor, image: Tensor | None, title: str) -> Figure:
    plane = relevance.sum(0) if relevance.dim() == 3 else relevance
    figure = new_figure(8 if image is not None else 4.6, 4)
    axes = figure.subplots(1, 2 if image is not None else 1, squeeze=False)[0]
    if image is not None:
        picture = image.detach().float().cpu()
        picture = picture.permute(1, 2, 0) if picture.dim() == 3 else picture
        low, high = picture.min(), picture.max()
        scaled = (picture - low) / (high - low).clamp_min(1e-12)
        axes[0].imshow(scaled.squeeze(-1).numpy(), cmap="gray")
        axes[0].set_title("input")
    limit = limit_of(plane)
    shown = axes[-1].imshow(plane.numpy(), cmap=COLOUR_MAP, vmin=-limit, vmax=limit)
    axes[-1].set_title(title)
    figure.colorbar(shown, ax=axes[-1], label="relevance (red: for, blue: against)")
    for axis in axes:
        axis.set_axis_off()
    return figure


def _bars(amounts: Tensor, tokens: Sequence[str] | None, title: str) -> Figure:
    labels = list(tokens) if tokens is not None else [str(i) for i in range(len(amounts))]
    if len(labels) != len(amounts):
        raise InputError(f"{len(labels)} tokens were given for {len(amounts)} positions")
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
