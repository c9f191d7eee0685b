"""Compute the secants of `secants_torch.py` in one Triton kernel each: two reads, one write."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from .has_triton import running_on

_BLOCK = 1024
_WARPS = 4

_FUNCTIONS = ("cube", "exp", "gelu", "gelu_tanh", "relu", "sigmoid", "silu", "square", "tanh")
_NUMBERS = {name: number for number, name in enumerate(_FUNCTIONS)}


@triton.jit
def _sigmoid_of(x):  # type: ignore[no-untyped-def]
    e = tl.exp(-tl.abs(x))
    return tl.where(x < 0, e, 1.0) / (1.0 + e)


@triton.jit
def _falling_share(x):  # type: ignore[no-untyped-def]
    """Return (1 - e^-x) / x, by its series below 1."""
    s = 1.0 - x / 9.0
    s = 1.0 - x / 8.0 * s
    s = 1.0 - x / 7.0 * s
    s = 1.0 - x / 6.0 * s
    s = 1.0 - x / 5.0 * s
    s = 1.0 - x / 4.0 * s
    s = 1.0 - x / 3.0 * s
    s = 1.0 - x / 2.0 * s
    return tl.where(x < 0.5, s, (1.0 - tl.exp(-x)) / tl.where(x < 0.5, 1.0, x))


@triton.jit
def _gap(b, a):  # type: ignore[no-untyped-def]
    return tl.where(b == a, 0.0, tl.abs(b - a))


@triton.jit
def _sigmoid(b, a):  # type: ignore[no-untyped-def]
    high, low = tl.maximum(a, b), tl.minimum(a, b)
    return _sigmoid_of(high) * _sigmoid_of(-low) * _falling_share(_gap(b, a))


@triton.jit
def _cube(b, a):  # type: ignore[no-untyped-def]
    return (a + b) * (a + b) - a * b


@triton.jit
def _gelu_tanh(b, a):  # type: ignore[no-untyped-def]
    u_b = 1.5957691216057308 * (b + 0.044715 * b * b * b)
    u_a = 1.5957691216057308 * (a + 0.044715 * a * a * a)
    rise = 1.5957691216057308 * (1.0 + 0.044715 * _cube(b, a))
    mean = (_sigmoid_of(u_b) + _sigmoid_of(u_a)) * 0.5
    return mean + (a + b) * 0.5 * _sigmoid(u_b, u_a) * rise


@triton.jit
def _gelu(b, a):  # type: ignore[no-untyped-def]
    phi_b = 0.5 + 0.5 * tl.erf(b * 0.7071067811865476)
    phi_a = 0.5 + 0.5 * tl.erf(a * 0.7071067811865476)
    step = b - a
    q = (a + b) * (a + b) * 0.25
    h = step * step * 0.25
    third = h / 42.0 * (q * (q * (q - 15.0) + 45.0) - 15.0)
    series = 1.0 + h / 6.0 * (q - 1.0 + h / 20.0 * (q * (q - 6.0) + 3.0 + third))
    close = series * tl.exp(-0.5 * q) * 0.3989422804014327
    near = tl.abs(step) < 0.3
    density = tl.where(near, close, (phi_b - phi_a) / tl.where(near, 1.0, step))
    return (phi_b + phi_a) * 0.5 + (a + b) * 0.5 * density


@triton.jit
def _relu(b, a):  # type: ignore[no-untyped-def]
    high, low = tl.maximum(a, b), tl.minimum(a, b)
    crosses = (high > 0) & (low < 0)
    part = high / tl.where(crosses, high - low, 1.0)
    return tl.where(crosses, part, tl.where(high > 0, 1.0, 0.0))


@triton.jit  # type: ignore[untyped-decorator]
def _kernel(b_at, a_at, result, count, FUNCTION: tl.constexpr, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = place < count
    b = tl.load(b_at + place, mask=inside, other=0.0).to(tl.float32)
    a = tl.load(a_at + place, mask=inside, other=0.0).to(tl.float32)
    if FUNCTION == 0:
        s = _cube(b, a)
    elif FUNCTION == 1:
        s = tl.exp(tl.maximum(a, b)) * _falling_share(_gap(b, a))
    elif FUNCTION == 2:
        s = _gelu(b, a)
    elif FUNCTION == 3:
        s = _gelu_tanh(b, a)
    elif FUNCTION == 4:
        s = _relu(b, a)
    elif FUNCTION == 5:
        s = _sigmoid(b, a)
    elif FUNCTION == 6:
        s = (_sigmoid_of(b) + _sigmoid_of(a)) * 0.5 + (a + b) * 0.5 * _sigmoid(b, a)
    elif FUNCTION == 7:
        s = a + b
    else:
        s = 4.0 * _sigmoid(2.0 * b, 2.0 * a)
    tl.store(result + place, s, mask=inside)


def run_kernel(name: str, b: Tensor, a: Tensor, result: Tensor) -> None:
    """Write the secants of one function of `secants_torch.py` into `result`.

    All tensors are in single or half precision and lie alike and densely in memory.
    """
    count = b.numel()
    with running_on(b.device):
        _kernel[(triton.cdiv(count, _BLOCK),)](
            b, a, result, count, _NUMBERS[name], _BLOCK, num_warps=_WARPS
        )
