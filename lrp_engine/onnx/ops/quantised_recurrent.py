"""Recurrent layers with quantised weights, as onnxruntime's quantiser writes them."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ..op_table import op
from ..values import OnnxValue
from .quantised import MICROSOFT, as_float, quantise_dynamically
from .recurrent import RecurrentStep, RecurrentWeights, States, lstm_with


def _rounded(x: Tensor) -> Tensor:
    """Return x on the grid of its own range, as dynamic quantisation rounds it."""
    codes, scale, zero = quantise_dynamically(x)
    return (codes - zero) * scale


def _weights(codes: OnnxValue, scale: Tensor, zero: OnnxValue) -> Tensor:
    """Return weights (direction, 4 hidden, inputs) of codes (direction, inputs, 4 hidden).

    Scale and zero point are one per direction, or one per direction and column.
    """
    shape = (scale.shape[0], 1, -1)
    weight = as_float(codes) - as_float(zero).reshape(shape)
    return (weight * scale.reshape(shape)).transpose(1, 2)


def _with_rounded_state(step: RecurrentStep) -> RecurrentStep:
    """Let the products of a step read the hidden state rounded, as they do the input."""

    def rounded(gates: Tensor, states: States, w: RecurrentWeights) -> States:
        return step(gates, (_rounded(states[0]), *states[1:]), w)

    return rounded


@op("DynamicQuantizeLSTM", domain=MICROSOFT)
def dynamic_quantize_lstm(
    x: Tensor,
    w: OnnxValue,
    r: OnnxValue,
    b: Tensor | None,
    sequence_lens: Tensor | None,
    initial_h: Tensor | None,
    initial_c: Tensor | None,
    p: Tensor | None,
    w_scale: Tensor,
    w_zero_point: OnnxValue,
    r_scale: Tensor,
    r_zero_point: OnnxValue,
    *,
    hidden_size: int | None = None,
    direction: str = "forward",
    input_forget: int = 0,
    activations: Sequence[str] | None = None,
    activation_alpha: Sequence[float] = (),
    activation_beta: Sequence[float] = (),
    clip: float | None = None,
) -> list[Tensor]:
    """Unroll a layer whose weights are dequantised; inputs and states of products are rounded."""
    weights = _weights(w, w_scale, w_zero_point), _weights(r, r_scale, r_zero_point)
    return lstm_with(
        _with_rounded_state, _rounded(x), *weights, b, sequence_lens, (initial_h, initial_c), p,
        direction=direction, input_forget=input_forget, activations=activations,
        activation_alpha=activation_alpha, activation_beta=activation_beta, clip=clip,
    )  # fmt: skip
