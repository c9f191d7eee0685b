"""Keep the best of overlapping boxes. How many are kept depends on the boxes."""

from __future__ import annotations

import torch
from torch import Tensor


def _keep_boxes(
    boxes: Tensor, scores: Tensor, count: int, overlap: float, least: float | None
) -> Tensor:
    """Return (image, class, box) of the boxes that are kept, best first within each class.

    Args:
        boxes: Corners (images, boxes, 4): two of them, in any order.
        scores: (images, classes, boxes).
        count: How many to keep of a class at most.
        overlap: Boxes that share more of their union with a better one are dropped.
        least: Boxes with no higher score are dropped; None keeps all.

    Returns:
        (kept, 3), int64.
    """
    first, second = boxes[..., :2], boxes[..., 2:]
    low, high = torch.minimum(first, second), torch.maximum(first, second)
    found = [
        (image, label, box)
        for image in range(scores.shape[0])
        for label in range(scores.shape[1])
        for box in _keep_of_class(
            low[image], high[image], scores[image, label], count, overlap, least
        )
    ]
    return torch.tensor(found, dtype=torch.int64, device=boxes.device).reshape(-1, 3)


def _keep_of_class(
    low: Tensor, high: Tensor, scores: Tensor, count: int, overlap: float, least: float | None
) -> list[int]:
    area = (high - low).prod(-1)
    kept: list[int] = []
    left = scores.argsort(descending=True, stable=True)
    if least is not None:
        left = left[scores[left] > least]
    while len(kept) < count and len(left):
        best = int(left[0])
        kept.append(best)
        sides = torch.minimum(high[best], high[left]) - torch.maximum(low[best], low[left])
        shared = sides.clamp(min=0).prod(-1)
        left = left[shared <= overlap * (area[best] + area[left] - shared)]
        left = left[left != best]
    return kept


def _like_kept(
    boxes: Tensor, scores: Tensor, count: int, overlap: float, least: float | None
) -> Tensor:
    kept = torch.library.get_ctx().new_dynamic_size()
    return boxes.new_empty((kept, 3), dtype=torch.int64)


_NAME = "lrp_engine::non_max_suppression"
torch.library.define(
    _NAME,
    "(Tensor boxes, Tensor scores, int count, float overlap, float? least) -> Tensor",
    tags=(torch.Tag.pt2_compliant_tag,),
)
torch.library.impl(_NAME, "CompositeExplicitAutograd")(_keep_boxes)
torch.library.register_fake(_NAME, _like_kept)
non_max_suppression: torch._ops.OpOverload = torch.ops.lrp_engine.non_max_suppression.default
