"""Capture recurrent layers whole, for any length.

While torch traces, it finds out what a recurrent layer returns by taking the layer apart, step by
step: the trace takes as long as the sequence, and its length becomes a number. But the shapes of
the results are known without a step. So during capture the layers' Python kernels, which only
tracing calls, are replaced by one that gives results of these shapes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from torch._C import DispatchKey
from torch._ops import OpOverload
from torch._subclasses.fake_tensor import FakeTensor

_LAYERS: tuple[OpOverload, ...] = (
    torch.ops.aten.lstm.input,
    torch.ops.aten.gru.input,
    torch.ops.aten.rnn_tanh.input,
    torch.ops.aten.rnn_relu.input,
)
Kernel = Callable[..., object]


@contextmanager
def keep_lengths_free() -> Iterator[None]:
    """Let recurrent layers be traced whole; a torch that traces them otherwise is left alone."""
    own = [(layer, dict(layer.py_kernels)) for layer in _LAYERS]
    try:
        for layer, kernels in own:
            for key, kernel in kernels.items():
                _set(layer, key, _without_steps(kernel))
        yield
    finally:
        for layer, kernels in own:
            for key, kernel in kernels.items():
                _set(layer, key, kernel)


def _set(layer: OpOverload, key: DispatchKey, kernel: Kernel) -> None:
    layer.py_kernels[key] = kernel
    layer._dispatch_cache.clear()


def _without_steps(kernel: Kernel) -> Kernel:
    """Return a kernel that gives fake results to fake inputs, and else does what `kernel` does."""

    def describe(
        x: Tensor, hx: Tensor | Sequence[Tensor], params: Sequence[Tensor], *settings: object
    ) -> object:
        if not isinstance(x, FakeTensor):
            return kernel(x, hx, params, *settings)
        _, _, dropout, train, bidirectional, batch_first = settings
        if dropout and train:
            return kernel(x, hx, params, *settings)
        states = [hx] if isinstance(hx, Tensor) else list(hx)
        steps, batch = (x.shape[1], x.shape[0]) if batch_first else (x.shape[0], x.shape[1])
        out = x.new_empty((steps, batch, states[0].shape[-1] * (2 if bidirectional else 1)))
        ends = [state.new_empty(state.shape) for state in states]
        return (out.transpose(0, 1) if batch_first else out, *ends)

    return describe
