"""Decompose ops for which torch itself has no decomposition."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch._ops import OpOverload

from ..graphs.aten import aten
from ..kernels.deformable import deform_conv_of_torchvision
from .embedding_bags import BAGS, embedding_bag
from .recurrent_layers import RECURRENT_LAYERS
from .short_time_fourier import istft, stft, stft_of_padded

Recipe = Callable[..., object]  # takes what the op takes, and computes what it computes


def group_norm(
    x: Tensor,
    groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    *_: object,
) -> Tensor:
    """Normalise each group of channels of x (batch, channels, ...).

    Torch's own decomposition addresses memory (`as_strided`).
    """
    return native_group_norm(x, weight, bias, x.shape[0], x.shape[1], 0, groups, eps)[0]


def native_group_norm(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    batch: int,
    channels: int,
    _: int,
    groups: int,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Do as `group_norm`; return mean and inverse deviation (batch, groups) as well."""
    size = math.prod(x.shape[1:]) // groups
    var, mean = torch.var_mean(x.reshape(batch, groups, size), -1, correction=0, keepdim=True)
    scale = torch.rsqrt(var + eps)
    normal = ((x.reshape(batch, groups, size) - mean) * scale).reshape(x.shape)
    per_channel = (1, channels) + (1,) * (x.dim() - 2)
    weighted = normal if weight is None else normal * weight.reshape(per_channel)
    out = weighted if bias is None else weighted + bias.reshape(per_channel)
    return out, mean.squeeze(-1), scale.squeeze(-1)


def copy_sign(x: Tensor, other: Tensor) -> Tensor:
    """Give |x| the sign of `other`, which only switches."""
    return torch.where(torch.signbit(other), -x.abs(), x.abs())


def remainder_of_number(number: float, x: Tensor) -> Tensor:
    """Return what is left of a number that is divided by x; torch has no derivative of that."""
    return torch.remainder(x.new_full((), number), x)


def scatter_by_name(x: Tensor, dim: int, index: Tensor, src: Tensor, *, reduce: str) -> Tensor:
    """Scatter `src` into x under the older names of what to do with what is there."""
    return torch.scatter_reduce(x, dim, index, src, {"add": "sum", "multiply": "prod"}[reduce])


RECIPES: dict[OpOverload, Recipe] = {
    **dict.fromkeys(BAGS, embedding_bag),
    **RECURRENT_LAYERS,
    aten.group_norm.default: group_norm,
    aten.native_group_norm.default: native_group_norm,
    aten.stft.default: stft,
    aten.stft.center: stft_of_padded,
    aten.istft.default: istft,
    aten._sparse_mm.default: torch.mm,
    aten._sparse_addmm.default: torch.addmm,
    aten.copysign.Tensor: copy_sign,
    aten.remainder.Scalar_Tensor: remainder_of_number,
    aten.scatter.reduce: scatter_by_name,
}

# Of libraries that may not be loaded, by name.
RECIPES_BY_NAME: dict[str, Recipe] = {
    "torchvision.deform_conv2d.default": deform_conv_of_torchvision,
}
