"""Let a metric take several outputs, which the graph joins in one."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ..errors import TargetError
from .target import Metric, Target


def of_all_outputs(target: Target, shapes: Mapping[str, torch.Size]) -> Metric:
    """Return a metric of a dict of outputs as one of the tensor (batch, numbers) that joins them.

    Args:
        target: A function that takes a dict of outputs and returns one number per sample.
        shapes: The outputs' shapes, by name, in the order in which they are joined.

    Raises:
        TargetError: the target is no metric.
    """
    if isinstance(target, Tensor) or not callable(target):
        raise TargetError(
            "output='all' needs a metric as the target: a function that takes a dict of outputs"
            f" ({', '.join(shapes)}) and returns one number per sample"
        )
    metric: Metric = target

    def of_joined(joined: Tensor) -> Tensor:
        sizes = [shape[1:].numel() for shape in shapes.values()]
        parts = torch.split(joined, sizes, 1)
        named = zip(shapes.items(), parts, strict=True)
        return metric({name: part.reshape(shape) for (name, shape), part in named})  # type: ignore[arg-type]

    return of_joined
