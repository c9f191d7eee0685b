"""Lay rows dense in memory, as the kernels of fused attention take for granted.

Torch looks at strides before it chooses a kernel. A program calls the one that was chosen at
capture, and when it runs tensors may lie otherwise: an input that was transposed, a convolution
that took another kernel for another batch size. A kernel on a CPU then reads the wrong numbers and
says nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def with_dense_rows(x: Tensor) -> Tensor:
    """Return the tensor itself if its last axis has stride 1, else a copy that has."""
    return x if x.stride(-1) == 1 else x.contiguous()


_NAME = "lrp_engine::dense_rows"
torch.library.define(_NAME, "(Tensor(a) x) -> Tensor(a)", tags=(torch.Tag.pt2_compliant_tag,))
torch.library.impl(_NAME, "CompositeImplicitAutograd")(with_dense_rows)
dense_rows: Callable[[Tensor], Tensor] = torch.ops.lrp_engine.dense_rows.default
