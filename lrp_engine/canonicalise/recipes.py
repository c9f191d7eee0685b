"""What ops are made of for which torch itself has no decomposition."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

from ..errors import CaptureError

aten = torch.ops.aten

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
    *settings: Any,
) -> list[Tensor]:
    """One direction of one LSTM layer over x of shape (time, batch, features), step by step."""
    if mode != _LSTM or len(batch_sizes):
        raise CaptureError("a recurrent layer over packed sequences: give it padded ones instead")
    h, c = h[0], c[0]
    entering = linear(x, from_input, input_bias)
    times = range(x.shape[0])
    states: dict[int, Tensor] = {}
    for t in reversed(times) if reverse else times:
        gates = entering[t] + linear(h, from_state, state_bias)
        enter, keep, candidate, leave = gates.chunk(4, -1)
        c = keep.sigmoid() * c + enter.sigmoid() * candidate.tanh()
        states[t] = h = leave.sigmoid() * c.tanh()
    workspace = x.new_empty(0)
    return [torch.stack([states[t] for t in times]), h[None], c[None], workspace]


RECIPES: dict[Any, Callable[..., Any]] = {aten.mkldnn_rnn_layer.default: lstm_layer}
