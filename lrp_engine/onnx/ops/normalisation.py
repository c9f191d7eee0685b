"""Norms; and dropout, which is the identity at inference."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..op_table import NodeContext, op
from ..unsupported import Refused
from ..values import OnnxValue, as_number


def _only_first(node: NodeContext, what: str) -> None:
    if any(node.outputs[1:]):
        raise Refused(f"{what} is a matter of training")


@op("BatchNormalization")
def batch_norm(
    x: Tensor,
    scale: Tensor,
    bias: Tensor,
    mean: Tensor,
    var: Tensor,
    *,
    epsilon: float = 1e-5,
    momentum: float = 0.9,
    spatial: int = 1,
    is_test: int = 0,
    training_mode: int = 0,
    node: NodeContext,
) -> Tensor:
    """Normalise by stored statistics. Raises Refused in training mode."""
    _only_first(node, "an output beside Y")
    if training_mode or not spatial or (node.opset < 7 and not is_test):
        raise Refused("batch statistics are a matter of training")
    wide = mean.dtype
    z = F.batch_norm(x.to(wide), mean, var, scale.to(wide), bias.to(wide), False, 0.0, epsilon)
    return z.to(x.dtype)


@op("InstanceNormalization")
def instance_norm(x: Tensor, scale: Tensor, bias: Tensor, *, epsilon: float = 1e-5) -> Tensor:
    """Normalise every channel of every sample."""
    return F.group_norm(x, x.shape[1], scale, bias, epsilon)


@op("GroupNormalization", since=21)
def group_norm(
    x: Tensor,
    scale: Tensor,
    bias: Tensor,
    *,
    num_groups: int,
    epsilon: float = 1e-5,
    stash_type: int = 1,
) -> Tensor:
    """Normalise groups of channels; scale and bias are per channel."""
    return F.group_norm(x, num_groups, scale, bias, epsilon)


@op("GroupNormalization", since=18)
def group_norm_by_group(
    x: Tensor, scale: Tensor, bias: Tensor, *, num_groups: int, epsilon: float = 1e-5
) -> Tensor:
    """Normalise groups of channels; scale and bias are per group."""
    each = x.shape[1] // num_groups
    wide = (scale.repeat_interleave(each), bias.repeat_interleave(each))
    return F.group_norm(x, num_groups, *wide, epsilon)


@op("LayerNormalization", since=17)
def layer_norm(
    x: Tensor,
    scale: Tensor,
    bias: Tensor | None = None,
    *,
    axis: int = -1,
    epsilon: float = 1e-5,
    stash_type: int = 1,
    node: NodeContext,
) -> Tensor | list[Tensor]:
    """Normalise the axes from `axis` on; mean and inverse deviation if wanted."""
    axis = axis % x.dim()
    shape = tuple(x.shape[axis:])
    if tuple(scale.shape) == shape and (bias is None or tuple(bias.shape) == shape):
        z = F.layer_norm(x, shape, scale, bias, epsilon)
    else:
        z = F.layer_norm(x, shape, None, None, epsilon) * scale
        z = z if bias is None else z + bias
    if not any(node.outputs[1:]):
        return z
    axes = tuple(range(axis, x.dim()))
    mean, var = x.mean(axes, keepdim=True), x.var(axes, correction=0, keepdim=True)
    return [z, mean, torch.rsqrt(var + epsilon)]


@op("RMSNormalization", since=23)
def rms_norm(
    x: Tensor, scale: Tensor, *, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1
) -> Tensor:
    """Divide by the root mean square over the axes from `axis` on."""
    shape = tuple(x.shape[axis % x.dim() :])
    if tuple(scale.shape) == shape:
        return F.rms_norm(x, shape, scale, epsilon)
    return F.rms_norm(x, shape, None, epsilon) * scale


@op("LpNormalization")
def lp_normalization(x: Tensor, *, axis: int = -1, p: int = 2) -> Tensor:
    """Divide by the p-norm along an axis."""
    norm = torch.linalg.vector_norm(x, p, axis, keepdim=True)
    return x / torch.where(norm == 0, 1.0, norm)


@op("LRN")
def local_response_norm(
    x: Tensor, *, size: int, alpha: float = 1e-4, beta: float = 0.75, bias: float = 1.0
) -> Tensor:
    """Divide by a power of the mean square over nearby channels."""
    before, after = (size - 1) // 2, size // 2
    squares = F.pad(x * x, [0, 0] * (x.dim() - 2) + [before, after])
    total = sum(squares.narrow(1, i, x.shape[1]) for i in range(size))
    return x / (bias + alpha / size * total) ** beta


@op("Dropout")
def dropout(
    x: Tensor,
    ratio: OnnxValue | float | None = None,
    training_mode: OnnxValue | None = None,
    *,
    is_test: int = 0,
    seed: int | None = None,
    node: NodeContext,
) -> list[Tensor]:
    """Return x as it is. Raises Refused in training mode."""
    if training_mode is not None and as_number(training_mode):
        raise Refused("dropout in training mode is random")
    if not any(node.outputs[1:]):
        return [x]
    return [x, torch.ones_like(x, dtype=torch.bool if node.opset >= 10 else x.dtype)]


@op("MeanVarianceNormalization", since=9)
def mean_variance(x: Tensor, *, axes: tuple[int, ...] = (0, 2, 3)) -> Tensor:
    """Subtract the mean and divide by the deviation over some axes."""
    centred = x - x.mean(axes, keepdim=True)
    return centred / (torch.sqrt((centred * centred).mean(axes, keepdim=True)) + 1e-9)
