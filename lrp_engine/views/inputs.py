"""Describe the input that a page shows: words, an image, features, a series."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..show.labels import Labels
from .layouts import Layout
from .places import Place, default_words
from .through import Nodes

_KINDS = {
    Layout.TOKENS: "text",
    Layout.MAP: "image",
    Layout.FRAMES: "image",
    Layout.SERIES: "series",
    Layout.FEATURES: "table",
}
_LARGEST = 512  # a side of an image


def describe_input(
    places: Sequence[Place], nodes: Nodes, leaves: Mapping[str, Any], labels: Labels
) -> dict[str, Any]:
    """Return the fields of a scene that show the first input: kind, words, features, image."""
    first = next(place for place in places if place.group == "input")
    kind, reading, known = (
        _KINDS[first.layout],
        nodes.readings[first.source],
        labels.of(first.source),
    )
    leaf = leaves.get(first.source)
    own = leaf[nodes.sample] if isinstance(leaf, Tensor) else None
    found: dict[str, Any] = {"kind": kind}
    if kind == "text":
        pieces = known.words[nodes.sample] if nodes.sample < len(known.words) else ()
        given = tuple(piece.text for piece in pieces)
        ids = own if own is not None else None
        found["words"] = given or default_words(ids, reading.columns)
    if kind == "table":
        found["features"] = _features(own, reading.units, known.feature_names)
    if kind == "image":
        images = known.images
        image = images[nodes.sample] if nodes.sample < len(images) else own
        found["image"] = None if image is None else as_pixels(image)
    return found


def _features(own: Tensor | None, count: int, names: Sequence[str]) -> tuple[tuple[str, str], ...]:
    titles = names if len(names) == count else [f"feature {i}" for i in range(count)]
    values = (
        [""] * count
        if own is None
        else [f"{v:.4g}".replace("-", "−") for v in own.flatten().tolist()]
    )
    return tuple(zip(titles, values, strict=True))


def as_pixels(image: Tensor) -> Tensor | None:
    """Return an image as (3, height, width) of bytes, stretched if it is not within 0 and 1."""
    plain = image.detach().double().cpu()
    plain = plain[:, 0] if plain.dim() == 4 else plain
    if plain.dim() != 3:
        return None
    plain = plain[:3] if len(plain) >= 3 else plain[:1].expand(3, -1, -1)
    low, high = float(plain.min()), float(plain.max())
    if low < 0 or high > 1:
        plain = (plain - low) / ((high - low) or 1.0)
    step = -(-max(plain.shape[1:]) // _LARGEST)
    return (plain[:, ::step, ::step] * 255).round().to(torch.uint8)
