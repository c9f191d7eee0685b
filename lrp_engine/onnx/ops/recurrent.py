"""RNN, LSTM and GRU, as a scan over the sequence: one step serves any length.

The steps are written as torch's own decomposition writes them, so that a network exported from
torch gets the relevance that it gets when it is captured itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ...kernels.scan import run_through
from ...kernels.steps import Tensors
from ..limits import check_iterations
from ..op_table import op
from ..unsupported import Refused

Activation = Callable[[Tensor], Tensor]
States = tuple[Tensor, ...]

# name -> function of (alpha, beta); the defaults are those of the operators' specification.
_ACTIVATIONS: dict[str, tuple[Callable[[float, float], Activation], float, float]] = {
    "relu": (lambda a, b: torch.relu, 0.0, 0.0),
    "tanh": (lambda a, b: torch.tanh, 0.0, 0.0),
    "sigmoid": (lambda a, b: torch.sigmoid, 0.0, 0.0),
    "softsign": (lambda a, b: F.softsign, 0.0, 0.0),
    "softplus": (lambda a, b: F.softplus, 0.0, 0.0),
    "leakyrelu": (lambda a, b: lambda x: F.leaky_relu(x, a), 0.01, 0.0),
    "elu": (lambda a, b: lambda x: F.elu(x, a), 1.0, 0.0),
    "affine": (lambda a, b: lambda x: a * x + b, 1.0, 0.0),
    "thresholdedrelu": (lambda a, b: lambda x: F.threshold(x, a, 0.0), 1.0, 0.0),
    "scaledtanh": (lambda a, b: lambda x: a * torch.tanh(b * x), 1.0, 1.0),
    "hardsigmoid": (lambda a, b: lambda x: torch.clamp(a * x + b, 0.0, 1.0), 0.2, 0.5),
}


@dataclass(frozen=True)
class RecurrentWeights:
    """One direction's weights: (gates * hidden, ...)."""

    inputs: Tensor
    states: Tensor
    input_bias: Tensor | None
    state_bias: Tensor | None
    peepholes: Tensor | None
    activations: tuple[Activation, ...]
    clip: float | None


RecurrentStep = Callable[[Tensor, States, RecurrentWeights], States]


def _activations(
    names: Sequence[str] | None,
    default: tuple[str, ...],
    directions: int,
    alphas: Sequence[float],
    betas: Sequence[float],
) -> list[tuple[Activation, ...]]:
    """Return each direction's activations; alphas and betas go to those that take one, in order."""
    names = [n.lower() for n in names or default * directions]
    if len(names) != len(default) * directions:
        raise Refused(f"{len(names)} activations for {directions} direction(s)")
    if unknown := [n for n in names if n not in _ACTIVATIONS]:
        raise Refused(f"activation {unknown[0]!r} is not supported")
    firsts, seconds = list(alphas), list(betas)
    made = []
    for name in names:
        make, alpha, beta = _ACTIVATIONS[name]
        alpha = firsts.pop(0) if firsts and name in _WITH_ALPHA else alpha
        beta = seconds.pop(0) if seconds and name in _WITH_BETA else beta
        made.append(make(alpha, beta))
    size = len(default)
    return [tuple(made[i : i + size]) for i in range(0, len(made), size)]


_WITH_BETA = frozenset({"affine", "scaledtanh", "hardsigmoid"})
_WITH_ALPHA = _WITH_BETA | {"leakyrelu", "elu", "thresholdedrelu"}


def _clipped(x: Tensor, clip: float | None) -> Tensor:
    return x if clip is None else torch.clamp(x, -clip, clip)


def _rnn_step(gates: Tensor, states: States, w: RecurrentWeights) -> States:
    """Return H' = f(X W + b + H R + b')."""
    (h,) = states
    return (w.activations[0](_clipped(gates + F.linear(h, w.states, w.state_bias), w.clip)),)


def _gru_step(gates: Tensor, states: States, w: RecurrentWeights) -> States:
    """Return H' = (1 - z) n + z H, with the reset gate before the product with the state."""
    (h,) = states
    f, g = w.activations
    size = h.shape[-1]
    bias = w.state_bias
    zr = F.linear(h, w.states[: 2 * size], None if bias is None else bias[: 2 * size])
    z, r = f(_clipped(gates[..., : 2 * size] + zr, w.clip)).chunk(2, -1)
    new = F.linear(r * h, w.states[2 * size :], None if bias is None else bias[2 * size :])
    n = g(_clipped(gates[..., 2 * size :] + new, w.clip))
    return ((h - n) * z + n,)


def _gru_step_reset_late(gates: Tensor, states: States, w: RecurrentWeights) -> States:
    """Return H' with the reset gate behind the product with the state, as in torch and cuDNN."""
    (h,) = states
    f, g = w.activations
    zx, rx, nx = gates.chunk(3, -1)
    zh, rh, nh = F.linear(h, w.states, w.state_bias).chunk(3, -1)
    z, r = f(_clipped(zx + zh, w.clip)), f(_clipped(rx + rh, w.clip))
    n = g(_clipped(nx + nh * r, w.clip))
    return ((h - n) * z + n,)


def _lstm_step(coupled: bool) -> RecurrentStep:
    """C' = f C + i g, H' = o h(C'); gates in the order i, o, f, g. Peepholes look at C and C'."""

    def step(gates: Tensor, states: States, w: RecurrentWeights) -> States:
        h, c = states
        f, g, out = w.activations
        i, o, forget, cell = (gates + F.linear(h, w.states, w.state_bias)).chunk(4, -1)
        pi, po, pf = w.peepholes.chunk(3) if w.peepholes is not None else (None, None, None)
        i = f(_clipped(i if pi is None else i + pi * c, w.clip))
        forget = (
            1 - i if coupled else f(_clipped(forget if pf is None else forget + pf * c, w.clip))
        )
        c = forget * c + i * g(_clipped(cell, w.clip))
        o = f(_clipped(o if po is None else o + po * c, w.clip))
        return o * out(c), c

    return step


# Runs one direction over (time, batch, features), `lengths` being those of each sample's sequence:
# (inputs, first states, weights, step, lengths, backward) -> hidden states by time, last states.
Walk = Callable[
    [Tensor, States, RecurrentWeights, RecurrentStep, Tensor | None, bool], tuple[Tensor, States]
]


def _scan(
    x: Tensor,
    states: States,
    w: RecurrentWeights,
    step: RecurrentStep,
    lengths: Tensor | None,
    backward: bool,
) -> tuple[Tensor, States]:
    """Run one direction with one copy of its step."""
    optional = (w.state_bias, w.peepholes)

    def one(each: Tensors, before: Tensors, fixed: Tensors) -> States:
        rest = iter(fixed[1:])
        bias, peepholes = (None if tensor is None else next(rest) for tensor in optional)
        own = replace(w, states=fixed[0], state_bias=bias, peepholes=peepholes)
        old = tuple(before)
        new = step(each[0], old, own)
        return new if lengths is None else _kept_outside(each[1], new, old)

    gates = F.linear(x, w.inputs, w.input_bias)
    inside = [] if lengths is None else [_inside(x.shape[0], lengths)]
    first = [state.unsqueeze(0) for state in states]
    fixed = [w.states, *(tensor for tensor in optional if tensor is not None)]
    found = run_through(one, [gates, *inside], first, fixed, backward)
    ends = tuple(state[0 if backward else -1] for state in found)
    y = found[0]
    return torch.where(inside[0], y, torch.zeros_like(y)) if inside else y, ends


def _inside(steps: int, lengths: Tensor) -> Tensor:
    """Return which steps (steps, batch, 1) lie within each sample's sequence."""
    return (torch.arange(steps, device=lengths.device)[:, None] < lengths).unsqueeze(-1)


def _kept_outside(inside: Tensor, new: States, old: States) -> States:
    return tuple(torch.where(inside, n, o) for n, o in zip(new, old, strict=True))


def _unroll(
    x: Tensor,
    states: States,
    w: RecurrentWeights,
    step: RecurrentStep,
    lengths: Tensor | None,
    backward: bool,
) -> tuple[Tensor, States]:
    """Run one direction step by step, where a step treats its batch as a whole."""
    steps = check_iterations(int(x.shape[0]), "LSTM")
    gates = F.linear(x, w.inputs, w.input_bias).unbind(0)
    inside = None if lengths is None else _inside(steps, lengths)
    outputs: list[Tensor] = []
    for t in reversed(range(steps)) if backward else range(steps):
        new = step(gates[t], states, w)
        states = new if inside is None else _kept_outside(inside[t], new, states)
        outputs.append(states[0])
    y = torch.stack(outputs[::-1] if backward else outputs)
    return y if inside is None else torch.where(inside, y, torch.zeros_like(y)), states


def _recurrent(
    x: Tensor,
    w: Tensor,
    r: Tensor,
    b: Tensor | None,
    lengths: Tensor | None,
    initial: Sequence[Tensor | None],
    peepholes: Tensor | None,
    step: RecurrentStep,
    activations: list[tuple[Activation, ...]],
    direction: str,
    layout: int,
    clip: float | None,
    walk: Walk = _scan,
) -> list[Tensor]:
    """Run all directions of a layer: Y, then the last states."""
    if layout:
        x = x.transpose(0, 1)
        initial = [None if s is None else s.transpose(0, 1) for s in initial]
    if direction not in ("forward", "reverse", "bidirectional"):
        raise Refused(f"direction {direction!r} is not supported")
    backward = {"forward": [False], "reverse": [True]}.get(direction, [False, True])
    zeros = x.new_zeros((x.shape[1], r.shape[-1]))
    outputs, last = [], []
    for d, reverse in enumerate(backward):
        input_bias, state_bias = (None, None) if b is None else b[d].chunk(2)
        peeps = None if peepholes is None else peepholes[d]
        weights = RecurrentWeights(w[d], r[d], input_bias, state_bias, peeps, activations[d], clip)
        start = tuple(zeros if s is None else s[d] for s in initial)
        y, states = walk(x, start, weights, step, lengths, reverse)
        outputs.append(y)
        last.append(states)
    y = torch.stack(outputs, 1)  # time, direction, batch, hidden
    ends = [torch.stack(parts) for parts in zip(*last, strict=True)]
    if layout:
        return [y.permute(2, 0, 1, 3), *(end.transpose(0, 1) for end in ends)]
    return [y, *ends]


def _directions(direction: str) -> int:
    return 2 if direction == "bidirectional" else 1


@op("RNN", since=7)
def rnn(
    x: Tensor,
    w: Tensor,
    r: Tensor,
    b: Tensor | None = None,
    sequence_lens: Tensor | None = None,
    initial_h: Tensor | None = None,
    *,
    hidden_size: int | None = None,
    direction: str = "forward",
    layout: int = 0,
    activations: Sequence[str] | None = None,
    activation_alpha: Sequence[float] = (),
    activation_beta: Sequence[float] = (),
    clip: float | None = None,
) -> list[Tensor]:
    """Run a simple recurrent layer."""
    chosen = _activations(
        activations, ("tanh",), _directions(direction), activation_alpha, activation_beta
    )
    return _recurrent(
        x, w, r, b, sequence_lens, [initial_h], None, _rnn_step, chosen, direction, layout, clip
    )


@op("GRU", since=7)
def gru(
    x: Tensor,
    w: Tensor,
    r: Tensor,
    b: Tensor | None = None,
    sequence_lens: Tensor | None = None,
    initial_h: Tensor | None = None,
    *,
    hidden_size: int | None = None,
    direction: str = "forward",
    layout: int = 0,
    linear_before_reset: int = 0,
    activations: Sequence[str] | None = None,
    activation_alpha: Sequence[float] = (),
    activation_beta: Sequence[float] = (),
    clip: float | None = None,
) -> list[Tensor]:
    """Run a layer of gated recurrent units."""
    chosen = _activations(
        activations,
        ("sigmoid", "tanh"),
        _directions(direction),
        activation_alpha,
        activation_beta,
    )
    step = _gru_step_reset_late if linear_before_reset else _gru_step
    return _recurrent(
        x, w, r, b, sequence_lens, [initial_h], None, step, chosen, direction, layout, clip
    )


@op("LSTM", since=7)
def lstm(
    x: Tensor,
    w: Tensor,
    r: Tensor,
    b: Tensor | None = None,
    sequence_lens: Tensor | None = None,
    initial_h: Tensor | None = None,
    initial_c: Tensor | None = None,
    p: Tensor | None = None,
    *,
    hidden_size: int | None = None,
    direction: str = "forward",
    layout: int = 0,
    input_forget: int = 0,
    activations: Sequence[str] | None = None,
    activation_alpha: Sequence[float] = (),
    activation_beta: Sequence[float] = (),
    clip: float | None = None,
) -> list[Tensor]:
    """Run a layer of long short-term memory."""
    return lstm_with(
        None, x, w, r, b, sequence_lens, (initial_h, initial_c), p,
        direction=direction, layout=layout, input_forget=input_forget, activations=activations,
        activation_alpha=activation_alpha, activation_beta=activation_beta, clip=clip,
    )  # fmt: skip


def lstm_with(
    change: Callable[[RecurrentStep], RecurrentStep] | None,
    x: Tensor,
    w: Tensor,
    r: Tensor,
    b: Tensor | None,
    lengths: Tensor | None,
    initial: Sequence[Tensor | None],
    peepholes: Tensor | None,
    *,
    direction: str,
    layout: int = 0,
    input_forget: int,
    activations: Sequence[str] | None,
    activation_alpha: Sequence[float],
    activation_beta: Sequence[float],
    clip: float | None,
) -> list[Tensor]:
    """Run a layer of long short-term memory; `change` makes another step of its step.

    A changed step may look at its batch as a whole: the layer is unrolled then.
    """
    chosen = _activations(
        activations,
        ("sigmoid", "tanh", "tanh"),
        _directions(direction),
        activation_alpha,
        activation_beta,
    )
    step = _lstm_step(bool(input_forget))
    step, walk = (step, _scan) if change is None else (change(step), _unroll)
    return _recurrent(
        x, w, r, b, lengths, initial, peepholes, step, chosen, direction, layout, clip, walk
    )
