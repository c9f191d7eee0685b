"""Let torchvision be imported where its compiled ops cannot be loaded, as beside a CPU torch."""

from __future__ import annotations

import torch

_KEPT: list[torch.library.Library] = []


def declare_missing_ops() -> None:
    """Declare the two ops that torchvision asks for at import; calling them fails."""
    try:
        import torchvision  # noqa: F401
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _KEPT.append(library)
    except ImportError:
        return
