"""Decompose ops for which torch itself has no decomposition."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.fx.node import Argument
from torch.nn.functional import linear

from ..errors import CaptureError
from ..graphs.aten import aten
from .embedding_bags import BAGS, embedding_bag
from .short_time_fourier import istft, stft, stft_of_padded

Recipe = Callable[..., object]  # takes what the op takes, and computes what it computes

_LSTM = 2  # oneDNN's number for it


def lstm_layer(
    x: Tensor,
    from_input: Tensor,
    from_state: Tensor,
    input_bias: Tensor,
    state_bias: Tensor,
    h: Tensor,
    c: Tensor,
    reverse: bool,
    batch_sizes: Sequence[int],
    mode: int,
    *settings: Argument,
) -> list[Tensor]:
    """Compute one direction of one LSTM layer step by step, as `aten.mkldnn_rnn_layer` does.

    Args:
        x: Inputs (time, batch, features).
        from_input: Weights of the input (4 hidden, features), in the order of torch's gates.
        from_state: Weights of the state (4 hidden, hidden).
        input_bias: Bias of the first (4 hidden).
        state_bias: Bias of the second (4 hidden).
        h: First hidden state (1, batch, hidden).
        c: First cell state (1, batch, hidden).
        reverse: Start at the last step.
        batch_sizes: Empty but for packed sequences.
        mode: The number of the layer type in oneDNN.
        settings: What the op takes besides, and this does not need.

    Returns:
        Hidden states (time, batch, hidden), last hidden and cell state (1, batch, hidden), and an
        empty workspace.

    Raises:
        CaptureError: The layer is no LSTM, or reads packed sequences.
    """
    if mode != _LSTM or len(batch_sizes):
        raise CaptureError("a recurrent layer over packed sequences: give it padded ones instead")
    h, c = h[0], c[0]
    entering = linear(x, from_input, input_bias).unbind(0)
    times = range(x.shape[0])
    states: dict[int, Tensor] = {}
    for t in reversed(times) if reverse else times:
        gates = entering[t] + linear(h, from_state, state_bias)
        enter, keep, candidate, leave = gates.chunk(4, -1)
        c = keep.sigmoid() * c + enter.sigmoid() * candidate.tanh()
        states[t] = h = leave.sigmoid() * c.tanh()
    workspace = x.new_empty(0)
    return [torch.stack([states[t] for t in times]), h[None], c[None], workspace]


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


RECIPES: dict[OpOverload, Recipe] = {
    **dict.fromkeys(BAGS, embedding_bag),
    aten.mkldnn_rnn_layer.default: lstm_layer,
    aten.group_norm.default: group_norm,
    aten.native_group_norm.default: native_group_norm,
    aten.stft.default: stft,
    aten.stft.center: stft_of_padded,
    aten.istft.default: istft,
    aten.copysign.Tensor: copy_sign,
    aten.remainder.Scalar_Tensor: remainder_of_number,
}
