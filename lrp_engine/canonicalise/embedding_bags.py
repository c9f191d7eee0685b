"""Decompose bags of embeddings into a look-up and a sum, mean or maximum per bag."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..graphs.aten import aten

SUM, MEAN, MAX = 0, 1, 2


def embedding_bag(
    weight: Tensor,
    indices: Tensor,
    offsets: Tensor,
    scale_grad_by_freq: bool = False,
    mode: int = SUM,
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Sequence[Tensor]:
    """Look up rows (indices, features), and reduce those of each bag: (bags, features).

    Rows of the padding index go to one bag more, which is cut off.
    """
    bags = offsets.shape[0] - int(include_last_offset)
    bag = _bag_of_each(indices, offsets)
    if padding_idx is not None and padding_idx != -1:
        bag = torch.where(indices == padding_idx, bags, bag)
    rows = torch.nn.functional.embedding(indices, weight)
    if per_sample_weights is not None:
        rows = rows * per_sample_weights.unsqueeze(-1)
    empty = rows.new_zeros(bags + 1, rows.shape[1])
    if mode == MAX:
        places = bag.unsqueeze(-1).expand(rows.shape)
        found = empty.scatter_reduce(0, places, rows, "amax", include_self=False)
    else:
        found = empty.index_add(0, bag, rows)
    if mode == MEAN:
        counts = offsets.new_zeros(bags + 1).index_add(0, bag, torch.ones_like(bag))
        found = found / counts.clamp(min=1).to(found.dtype).unsqueeze(-1)
    unused = indices.new_empty(0)
    return [found.narrow(0, 0, bags), unused, unused, unused]


def _bag_of_each(indices: Tensor, offsets: Tensor) -> Tensor:
    """Return the number of the bag that each index lies in; bags may be empty."""
    places = torch.arange(indices.shape[0], device=indices.device, dtype=offsets.dtype)
    return torch.searchsorted(offsets, places, right=True) - 1


BAGS = {
    aten.embedding_bag.padding_idx,
    aten.embedding_bag.default,
    aten._embedding_bag.default,
    aten._embedding_bag_forward_only.default,
}
