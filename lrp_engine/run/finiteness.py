"""Ask whether explained numbers are finite without stopping an accelerator."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..errors import TargetError


def ask_if_finite(explained: Tensor) -> Callable[[], None]:
    """Ask whether explained numbers are finite; a GPU answers while it works on what follows.

    Returns:
        A function that waits for the answer and raises TargetError if one is not finite.
    """
    answer = torch.isfinite(explained).all()
    if answer.device.type == "cuda":
        here = torch.empty((), dtype=torch.bool, pin_memory=True).copy_(answer, non_blocking=True)
        arrived = torch.Event("cuda")
        arrived.record()
    else:
        here, arrived = answer, None

    def read() -> None:
        if arrived is not None:
            arrived.synchronize()
        if not here:
            raise TargetError(f"the explained output is not finite: {explained.tolist()}")

    return read
