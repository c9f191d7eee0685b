"""Take torch's recurrent layers apart, as torch computes them: a scan, every affine map one op.

Torch's own decomposition splits the bias from the product where the input's rows do not lie one
behind the other, and under double precision. Rules that stabilise a weighted sum would then leave
the bias out of it: relevance would depend on `batch_first` and on the dtype.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.nn.functional import linear

from ..errors import CaptureError
from ..graphs.aten import aten
from ..kernels.padded_recurrence import find_inside, keep_outside, padded_recurrence
from ..kernels.scan import run_through
from ..kernels.steps import Tensors

_LSTM = 2  # oneDNN's number for it

States = tuple[Tensor, ...]


class LayerWeights(NamedTuple):
    """One direction of one layer; biases (gates * hidden,), all None where there are none."""

    from_input: Tensor
    from_state: Tensor
    input_bias: Tensor | None = None
    state_bias: Tensor | None = None
    projection: Tensor | None = None


# Takes what enters (batch, gates * hidden), the states before, weights; returns the states after.
Step = Callable[[Tensor, States, LayerWeights], States]


def lstm_step(entering: Tensor, states: States, w: LayerWeights) -> States:
    """Return h' = o tanh(c'), projected if weights say so, and c' = f c + i g."""
    h, c = states
    gates = linear(h, w.from_state, w.state_bias) + entering
    enter, keep, candidate, leave = gates.chunk(4, -1)
    c = keep.sigmoid() * c + enter.sigmoid() * candidate.tanh()
    h = leave.sigmoid() * c.tanh()
    return (h if w.projection is None else linear(h, w.projection)), c


def gru_step(entering: Tensor, states: States, w: LayerWeights) -> States:
    """Return h' = (h - n) z + n, with n = tanh(x_n + r h_n)."""
    (h,) = states
    reset_x, keep_x, new_x = entering.chunk(3, -1)
    reset_h, keep_h, new_h = linear(h, w.from_state, w.state_bias).chunk(3, -1)
    new = (new_x + new_h * (reset_h + reset_x).sigmoid()).tanh()
    return ((h - new) * (keep_h + keep_x).sigmoid() + new,)


def rnn_step(
    entering: Tensor, states: States, w: LayerWeights, activation: Callable[[Tensor], Tensor]
) -> States:
    """Return h' = activation(x' + h W)."""
    (h,) = states
    return (activation(linear(h, w.from_state, w.state_bias) + entering),)


def run_layers(
    step: Step,
    x: Tensor,
    hx: Sequence[Tensor] | Tensor,
    params: Sequence[Tensor],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
    lengths: Tensor | None = None,
) -> list[Tensor]:
    """Compute what `aten.lstm.input`, `gru.input`, `rnn_tanh.input` and `rnn_relu.input` do.

    Args:
        step: The layer's kind.
        x: Inputs (time, batch, features), or (batch, time, features) if `batch_first`.
        hx: First states, each (layers * directions, batch, hidden).
        params: The weights of all layers and directions, in torch's order.
        has_biases: Whether biases are among them.
        num_layers: How many layers.
        dropout: Between layers, while training.
        train: Whether the layer trains.
        bidirectional: Whether a second direction of each layer starts at the last step.
        batch_first: The layout of `x` and of the result.
        lengths: Of each sequence (batch,); by default all are as long as `x`.

    Returns:
        Outputs in the layout of `x`, then last states in that of `hx`.

    Raises:
        NotImplementedError: The layer draws.
    """
    if train and dropout:
        raise NotImplementedError("dropout between recurrent layers while training")
    first = (hx,) if isinstance(hx, Tensor) else tuple(hx)
    starts = iter(zip(*(state.unbind(0) for state in first), strict=True))
    directions = 1 + bidirectional
    weights = _weights(params, num_layers * directions, has_biases)
    x, last = x.transpose(0, 1) if batch_first else x, list[States]()
    inside = None if lengths is None else find_inside(x.shape[0], lengths.to(x.device))
    for _ in range(num_layers):
        outputs = []
        for reverse in range(directions):
            own = (next(starts), next(weights), bool(reverse), inside)
            output, states = _walk(step, x, *own)
            outputs.append(output)
            last.append(states)
        x = torch.cat(outputs, -1) if bidirectional else outputs[0]
    ends = [torch.stack(parts) for parts in zip(*last, strict=True)]
    return [x.transpose(0, 1) if batch_first else x, *ends]


def _weights(params: Sequence[Tensor], count: int, has_biases: bool) -> Iterator[LayerWeights]:
    """Yield each direction's weights; those of an LSTM with projections have one more."""
    size = len(params) // count
    for i in range(0, len(params), size):
        own = params[i : i + size]
        input_bias, state_bias = own[2:4] if has_biases else (None, None)
        projection = own[-1] if size in (3, 5) else None
        yield LayerWeights(own[0], own[1], input_bias, state_bias, projection)


def _walk(
    step: Step,
    x: Tensor,
    states: States,
    w: LayerWeights,
    reverse: bool,
    inside: Tensor | None = None,
) -> tuple[Tensor, States]:
    """Run one direction over (time, batch, features); the last states are (batch, hidden).

    States stay, and outputs are 0, where `inside` (time, batch, 1) is false.
    """

    def one(each: Tensors, before: Tensors, fixed: Tensors) -> States:
        rest = iter(fixed[1:])
        own = (None if weight is None else next(rest) for weight in w[2:])
        new = step(each[0], tuple(before), LayerWeights(w.from_input, fixed[0], *own))
        return new if inside is None else keep_outside(each[1], new, before)

    entering = linear(x, w.from_input, w.input_bias)
    fixed = [weight for weight in w[1:] if weight is not None]
    first = [state.unsqueeze(0) for state in states]
    each = [entering] if inside is None else [entering, inside]
    found = run_through(one, each, first, fixed, reverse)
    ends = tuple(state[0 if reverse else -1] for state in found)
    out = found[0]
    return (out if inside is None else torch.where(inside, out, torch.zeros_like(out))), ends


def run_padded_layers(
    kind: str, x: Tensor, lengths: Tensor, hx: Sequence[Tensor], *settings: Any
) -> list[Tensor]:
    """Compute what `lrp_engine.padded_recurrence` does, as a scan."""
    step = partial(run_layers, _STEPS[kind], batch_first=False, lengths=lengths)
    return step(x, hx, *settings)


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
    *settings: object,
) -> list[Tensor]:
    """Compute one direction of one LSTM layer as `aten.mkldnn_rnn_layer` does.

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
    weights = LayerWeights(from_input, from_state, input_bias, state_bias)
    output, (h, c) = _walk(lstm_step, x, (h[0], c[0]), weights, reverse)
    return [output, h[None], c[None], x.new_empty(0)]


_STEPS: dict[str, Step] = {
    "lstm": lstm_step,
    "gru": gru_step,
    "rnn_tanh": partial(rnn_step, activation=torch.tanh),
    "rnn_relu": partial(rnn_step, activation=torch.relu),
}

# The layers, and what computes them. The parts may round unlike the kernel of a whole layer.
RECURRENT_LAYERS: dict[OpOverload, Callable[..., list[Tensor]]] = {
    aten.mkldnn_rnn_layer.default: lstm_layer,
    padded_recurrence.default: run_padded_layers,
    **{getattr(aten, kind).input: partial(run_layers, step) for kind, step in _STEPS.items()},
}
