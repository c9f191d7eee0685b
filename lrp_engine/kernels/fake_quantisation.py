"""Tell torch the shapes of what its fake quantisers return, so that they can be traced.

Torch 2.13 has no meta kernels for them, and so cannot trace a model that is trained for int8.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_NAMES = (
    "fake_quantize_per_tensor_affine_cachemask",
    "_fake_quantize_per_tensor_affine_cachemask_tensor_qparams",
    "fake_quantize_per_channel_affine_cachemask",
)


def _describe(x: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    """Return the rounded tensor, and the mask of what was not cut off."""
    return torch.empty_like(x), torch.empty_like(x, dtype=torch.bool)


def describe_fake_quantisers() -> None:
    """Register what is missing; without effect once torch has it."""
    for name in _NAMES:
        op = getattr(torch.ops.aten, name, None)
        if op is not None and not op.default.has_kernel_for_dispatch_key(torch._C.DispatchKey.Meta):
            torch.library.register_fake(f"aten::{name}", _describe)


describe_fake_quantisers()
