"""Entry by entry: activations and functions of one tensor."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ..op_table import OpEntry, make_entry, op
from ..unsupported import Refused
from ..values import HostArray, OnnxValue, as_number


def _unary(name: str, function: Callable[[Tensor], Tensor]) -> OpEntry:
    def apply(x: Tensor) -> Tensor:
        return function(x)

    return make_entry(name, apply)


UNARY = tuple(
    _unary(name, function)
    for name, function in {
        "Abs": torch.abs,
        "Acos": torch.acos,
        "Acosh": torch.acosh,
        "Asin": torch.asin,
        "Asinh": torch.asinh,
        "Atan": torch.atan,
        "Atanh": torch.atanh,
        "BitwiseNot": lambda x: (x ^ -1) if x.is_signed() else (x.long() ^ -1).to(x.dtype),
        "Ceil": torch.ceil,
        "Cos": torch.cos,
        "Cosh": torch.cosh,
        "Erf": torch.erf,
        "Exp": torch.exp,
        "Floor": torch.floor,
        "HardSwish": F.hardswish,
        "IsNaN": torch.isnan,
        "Log": torch.log,
        "Mish": F.mish,
        "Neg": torch.neg,
        "Not": torch.logical_not,
        "Reciprocal": torch.reciprocal,
        "Relu": torch.relu,
        "Round": torch.round,
        "Sigmoid": torch.sigmoid,
        "Sign": torch.sign,
        "Sin": torch.sin,
        "Sinh": torch.sinh,
        "Softsign": F.softsign,
        "Sqrt": torch.sqrt,
        "Tan": torch.tan,
        "Tanh": torch.tanh,
        "Det": torch.linalg.det,
    }.items()
)


@op("Softplus")
def softplus(x: Tensor) -> Tensor:
    """Return log(1 + exp(x))."""
    # torch's default threshold of 20 is the identity there to the last bit in float32 only.
    return F.softplus(x, threshold=20 if x.dtype != torch.float64 else 40)


@op("Gelu", since=20)
def gelu(x: Tensor, *, approximate: str = "none") -> Tensor:
    """Return x Phi(x), with Phi exact or approximated by tanh."""
    return F.gelu(x, approximate=approximate)


@op("Swish", since=24)
def swish(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    """Return x sigmoid(alpha x)."""
    return F.silu(x) if alpha == 1 else x * torch.sigmoid(alpha * x)


@op("LeakyRelu")
def leaky_relu(x: Tensor, *, alpha: float = 0.01) -> Tensor:
    """Scale negative entries by alpha."""
    return F.leaky_relu(x, alpha)


@op("Elu")
def elu(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    """Return alpha (exp(x) - 1) for negative entries."""
    return F.elu(x, alpha)


@op("Celu", since=12)
def celu(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    """Return alpha (exp(x / alpha) - 1) for negative entries."""
    return F.celu(x, alpha)


@op("Selu")
def selu(
    x: Tensor, *, alpha: float = 1.6732631921768188, gamma: float = 1.0507010221481323
) -> Tensor:
    """Scale an ELU by gamma."""
    return F.elu(x, alpha) * gamma


@op("HardSigmoid")
def hard_sigmoid(x: Tensor, *, alpha: float = 0.2, beta: float = 0.5) -> Tensor:
    """Return alpha x + beta, cut off at 0 and 1."""
    if math.isclose(alpha, 1 / 6, rel_tol=1e-6) and beta == 0.5:
        return F.hardsigmoid(x)
    return torch.clamp(alpha * x + beta, 0, 1)


@op("ThresholdedRelu")
def thresholded_relu(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    """Keep entries above alpha; the rest become 0."""
    return F.threshold(x, alpha, 0)


@op("Shrink", since=9)
def shrink(x: Tensor, *, lambd: float = 0.5, bias: float = 0.0) -> Tensor:
    """Move entries towards 0 by `bias`; those within `lambd` of 0 become 0."""
    zero = torch.zeros_like(x)
    below = torch.where(x < -lambd, (x + bias).to(x.dtype), zero)
    return torch.where(x > lambd, (x - bias).to(x.dtype), below)


@op("PRelu", since=7)
def prelu(x: Tensor, slope: Tensor) -> Tensor:
    """Scale negative entries by a slope that broadcasts."""
    per_channel = x.dim() > 1 and tuple(slope.shape) == (x.shape[1], *(1,) * (x.dim() - 2))
    if slope.numel() == 1 or per_channel:
        return F.prelu(x, slope.reshape(-1))
    return torch.where(x < 0, slope * x, x)


@op("PRelu")
def prelu_by_channel(x: Tensor, slope: Tensor) -> Tensor:
    """Scale negative entries by one slope per channel, as before opset 7."""
    return F.prelu(x, slope.reshape(-1))


@op("Clip")
def clip(x: Tensor, min: OnnxValue | None = None, max: OnnxValue | None = None) -> Tensor:
    """Bounds are numbers where they are known, so that the op is clamp with numbers."""
    low, high = (_bound(min), _bound(max))
    if low is None and high is None:
        return x
    if isinstance(low, Tensor) or isinstance(high, Tensor):
        x = x if low is None else torch.maximum(x, torch.as_tensor(low, dtype=x.dtype))
        return x if high is None else torch.minimum(x, torch.as_tensor(high, dtype=x.dtype))
    return torch.clamp(x, low, high)


def _bound(value: OnnxValue | float | None) -> float | Tensor | None:
    if isinstance(value, tuple):
        raise Refused("a bound is a sequence")
    return as_number(value) if isinstance(value, HostArray) else value


@op("IsInf", since=10)
def is_inf(x: Tensor, *, detect_negative: int = 1, detect_positive: int = 1) -> Tensor:
    """Tell which entries are infinite, with the wanted sign."""
    found = torch.isinf(x)
    if not detect_negative:
        found = found & (x > 0)
    return found if detect_positive else found & (x < 0)
