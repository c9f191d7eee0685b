"""Ops that onnxruntime's optimiser fuses (domain com.microsoft), taken apart again.

Written with the very ops that they stand for, so that a file gives the same relevance before and
after optimisation.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..op_table import NodeContext, op
from ..unsupported import Refused
from .common import run_op

MICROSOFT = "com.microsoft"


@op("FusedMatMul", "TransposeMatMul", domain=MICROSOFT)
def fused_matmul(
    a: Tensor,
    b: Tensor,
    *,
    alpha: float = 1.0,
    transA: int = 0,
    transB: int = 0,
    transBatchA: int = 0,
    transBatchB: int = 0,
) -> Tensor:
    """Multiply matrices, each transposed first if asked for, and scale by alpha."""
    z = torch.matmul(_turned(a, transA, transBatchA), _turned(b, transB, transBatchB))
    return z if alpha == 1 else z * alpha


def _turned(x: Tensor, transpose: int, batch: int) -> Tensor:
    """Swap the last two axes; before that, move the first axis behind the other batch axes."""
    if batch and x.dim() > 2:
        x = x.movedim(0, -2)
    return x.transpose(-1, -2) if transpose and x.dim() > 1 else x


@op("FusedGemm", domain=MICROSOFT)
def fused_gemm(
    a: Tensor,
    b: Tensor,
    c: Tensor | None = None,
    *,
    node: NodeContext,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: int = 0,
    transB: int = 0,
    activation: str = "",
    activation_alpha: float | None = None,
    activation_beta: float | None = None,
    activation_gamma: float | None = None,
) -> Tensor:
    """Apply an activation to a Gemm."""
    z = run_op(node, "Gemm", a, b, c, alpha=alpha, beta=beta, transA=transA, transB=transB)
    given = [p for p in (activation_alpha, activation_beta, activation_gamma) if p is not None]
    return apply_activation(z, activation, given)


@op("FusedConv", domain=MICROSOFT)
def fused_conv(
    x: Tensor,
    w: Tensor,
    b: Tensor | None = None,
    z: Tensor | None = None,
    *,
    node: NodeContext,
    auto_pad: str | None = None,
    dilations: tuple[int, ...] | None = None,
    group: int | None = None,
    kernel_shape: tuple[int, ...] | None = None,
    pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
    activation: str = "",
    activation_params: tuple[float, ...] = (),
) -> Tensor:
    """Return activation(conv(x) + z)."""
    y = run_op(
        node, "Conv", x, w, b,
        auto_pad=auto_pad, dilations=dilations, group=group, kernel_shape=kernel_shape,
        pads=pads, strides=strides,
    )  # fmt: skip
    return apply_activation(y if z is None else y + z, activation, list(activation_params))


def apply_activation(z: Tensor, name: str, parameters: list[float]) -> Tensor:
    """Apply the activation that was fused into an op."""
    a, b = (*parameters, 0.0, 0.0)[:2]
    match name:
        case "":
            return z
        case "Relu":
            return torch.relu(z)
        case "Tanh":
            return torch.tanh(z)
        case "Sigmoid":
            return torch.sigmoid(z)
        case "LeakyRelu":
            return F.leaky_relu(z, a if parameters else 0.01)
        case "Clip":
            return torch.clamp(z, a, b)
        case "HardSigmoid":
            return torch.clamp(a * z + b, 0.0, 1.0)
    raise Refused(f"the fused activation {name!r} is not supported")


@op("Gelu", domain=MICROSOFT)
def gelu(x: Tensor) -> Tensor:
    """Return the exact GELU."""
    return F.gelu(x)


@op("BiasGelu", domain=MICROSOFT)
def bias_gelu(x: Tensor, bias: Tensor) -> Tensor:
    """Return the exact GELU of x + bias."""
    return F.gelu(x + bias)


@op("FastGelu", domain=MICROSOFT)
def fast_gelu(x: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return the GELU of x + bias, approximated by tanh."""
    return F.gelu(x if bias is None else x + bias, approximate="tanh")


@op("QuickGelu", domain=MICROSOFT)
def quick_gelu(x: Tensor, *, alpha: float = 1.702) -> Tensor:
    """Return x sigmoid(alpha x)."""
    return F.silu(x) if alpha == 1 else x * torch.sigmoid(alpha * x)


@op("BiasAdd", domain=MICROSOFT)
def bias_add(x: Tensor, bias: Tensor, skip: Tensor) -> Tensor:
    """Add a bias and a skip connection."""
    return x + bias + skip


# onnxruntime registers this one under ai.onnx.
@op("SimplifiedLayerNormalization")
def simplified_layer_norm(
    x: Tensor,
    scale: Tensor,
    *,
    node: NodeContext,
    axis: int = -1,
    epsilon: float = 1e-5,
    stash_type: int = 1,
) -> list[Tensor]:
    """Normalise by the root mean square; mean and inverse deviation if wanted."""
    y = F.rms_norm(x, x.shape[axis % x.dim() :], scale, epsilon)
    return [y, *_statistics(node, x, axis, epsilon, centred=False)[1:]]


def _statistics(
    node: NodeContext, x: Tensor, axis: int, epsilon: float, *, centred: bool
) -> list[Tensor]:
    """Return mean and inverse deviation, where the file asks for them."""
    if not any(node.outputs[1:3]):
        return [x.new_zeros(()), x.new_zeros(())]
    axes = list(range(axis % x.dim(), x.dim()))
    mean = x.mean(axes, keepdim=True)
    spread = x - mean if centred else x
    return [mean, torch.rsqrt((spread * spread).mean(axes, keepdim=True) + epsilon)]


@op("SkipLayerNormalization", domain=MICROSOFT)
def skip_layer_norm(
    x: Tensor,
    skip: Tensor,
    gamma: Tensor,
    beta: Tensor | None = None,
    bias: Tensor | None = None,
    *,
    node: NodeContext,
    epsilon: float = 1e-12,
) -> list[Tensor]:
    """Return LayerNorm(x + skip + bias); the fourth output is that sum."""
    total = x + skip if bias is None else x + skip + bias
    y = F.layer_norm(total, gamma.shape, gamma, beta, epsilon)
    return [y, *_statistics(node, total, -1, epsilon, centred=True), total]


@op("SkipSimplifiedLayerNormalization", domain=MICROSOFT)
def skip_simplified_layer_norm(
    x: Tensor,
    skip: Tensor,
    gamma: Tensor,
    bias: Tensor | None = None,
    *,
    node: NodeContext,
    epsilon: float = 1e-12,
) -> list[Tensor]:
    """Return RMSNorm(x + skip + bias); the fourth output is that sum."""
    total = x + skip if bias is None else x + skip + bias
    y = F.rms_norm(total, gamma.shape, gamma, epsilon)
    return [y, *_statistics(node, total, -1, epsilon, centred=False), total]


@op("EmbedLayerNormalization", domain=MICROSOFT)
def embed_layer_norm(
    input_ids: Tensor,
    segment_ids: Tensor | None,
    words: Tensor,
    positions: Tensor,
    segments: Tensor | None,
    gamma: Tensor,
    beta: Tensor,
    mask: Tensor | None = None,
    position_ids: Tensor | None = None,
    *,
    epsilon: float = 1e-12,
    mask_index_type: int = 0,
) -> list[Tensor]:
    """Return the LayerNorm of the sum of word, position and segment embeddings."""
    total = F.embedding(input_ids.long(), words)
    if position_ids is None:
        total = total + positions[: input_ids.shape[1]]
    else:
        total = total + F.embedding(position_ids.long(), positions)
    if segments is not None and segment_ids is not None:
        total = total + F.embedding(segment_ids.long(), segments)
    y = F.layer_norm(total, gamma.shape, gamma, beta, epsilon)
    used = input_ids.new_zeros(input_ids.shape[0]) if mask is None else mask.sum(1)
    return [y, used.to(torch.int32), total]
