"""Join the labels of samples, or of batches, to those of all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from .labels import Labels, SourceLabels
from .pieces import Piece

_FILLING = Piece("[PAD]", special=True, padding=True)


def join_labels(parts: Sequence[Labels]) -> Labels:
    """Return the labels of all samples; where texts have several lengths, shorter ones are filled.

    Tensors of the data are left out where their sizes differ.
    """
    first = parts[0]
    sources = {name: _join_sources([part.of(name) for part in parts]) for name in first.sources}
    return replace(
        first,
        sources=sources,
        questions=tuple(q for part in parts for q in part.questions),
        samples=tuple(name for part in parts for name in part.samples),
        truth=tuple(name for part in parts for name in part.truth),
        notes=tuple(dict.fromkeys(text for part in parts for text in part.notes)),
    )


def _join_sources(parts: Sequence[SourceLabels]) -> SourceLabels:
    words = [pieces for part in parts for pieces in part.words]
    longest = max((len(pieces) for pieces in words), default=0)
    data = [part.data for part in parts if part.data is not None]
    fits = len({tensor.shape[1:] for tensor in data}) == 1
    return replace(
        parts[0],
        words=tuple((*pieces, *[_FILLING] * (longest - len(pieces))) for pieces in words),
        feature_values=tuple(values for part in parts for values in part.feature_values),
        images=tuple(image for part in parts for image in part.images),
        data=torch.cat(data) if fits and len(data) == len(parts) else None,
        true_colours=all(part.true_colours for part in parts),
    )
