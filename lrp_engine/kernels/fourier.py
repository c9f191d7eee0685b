"""Define Fourier transforms as linear ops of real tensors: complex values are pairs on a last axis.

Torch's own transforms work on complex tensors, which rules and compilers do not serve. The adjoint
of each op here is written with these ops again, and so can be differentiated any number of times.

`pairs` has the shape (..., 2). `dim` are axes of the complex tensor, which lacks the last axis.
`normalisation` is torch's number: 0 leaves out the factor, 1 divides by the root of the number of
entries, 2 by that number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from .conjugate_ends import count_twice, half_of

aten: torch._ops._OpNamespace = torch.ops.aten


def _define(name: str, schema: str) -> str:
    full = f"lrp_engine::{name}"
    torch.library.define(full, schema, tags=(torch.Tag.pt2_compliant_tag,))
    return full


_PAIRS: str = _define(
    "fourier", "(Tensor pairs, int[] dim, int normalisation, bool forward) -> Tensor"
)
_OF_REAL = _define(
    "fourier_of_real", "(Tensor x, int[] dim, int normalisation, bool onesided) -> Tensor"
)
_TO_REAL = _define(
    "fourier_to_real", "(Tensor pairs, int[] dim, int normalisation, SymInt size) -> Tensor"
)
fourier: Callable[..., Tensor] = torch.ops.lrp_engine.fourier.default
fourier_of_real: Callable[..., Tensor] = torch.ops.lrp_engine.fourier_of_real.default
fourier_to_real: Callable[..., Tensor] = torch.ops.lrp_engine.fourier_to_real.default


def _as_complex(pairs: Tensor) -> Tensor:
    return torch.view_as_complex(pairs.contiguous())


@torch.library.impl(_PAIRS, "CompositeExplicitAutograd")
def _transform(pairs: Tensor, dim: Sequence[int], normalisation: int, forward: bool) -> Tensor:
    """Transform complex to complex, forward or backward."""
    out = aten._fft_c2c(_as_complex(pairs), list(dim), normalisation, forward)
    return torch.view_as_real(out).contiguous()


@torch.library.impl(_OF_REAL, "CompositeExplicitAutograd")
def _transform_real(x: Tensor, dim: Sequence[int], normalisation: int, onesided: bool) -> Tensor:
    """Transform real to complex; `onesided` keeps the first half of the last axis of `dim`."""
    out = aten._fft_r2c(x, list(dim), normalisation, onesided)
    return torch.view_as_real(out.resolve_conj()).contiguous()


@torch.library.impl(_TO_REAL, "CompositeExplicitAutograd")
def _transform_back(pairs: Tensor, dim: Sequence[int], normalisation: int, size: int) -> Tensor:
    """Transform half of a spectrum backward to `size` real entries along the last axis of `dim`."""
    out: Tensor = aten._fft_c2r(_as_complex(pairs), list(dim), normalisation, size)
    return out.contiguous()


def _shape(pairs: Tensor, *_: object) -> Tensor:
    return pairs.new_empty(pairs.shape)


def _shape_of_real(x: Tensor, dim: Sequence[int], normalisation: int, onesided: bool) -> Tensor:
    shape = list(x.shape)
    if onesided:
        shape[dim[-1]] = half_of(shape[dim[-1]])
    return x.new_empty([*shape, 2])


def _shape_to_real(pairs: Tensor, dim: Sequence[int], normalisation: int, size: int) -> Tensor:
    shape = list(pairs.shape[:-1])
    shape[dim[-1]] = size
    return pairs.new_empty(shape)


torch.library.register_fake(_PAIRS, _shape)
torch.library.register_fake(_OF_REAL, _shape_of_real)
torch.library.register_fake(_TO_REAL, _shape_to_real)


def _remember(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, dim, *ctx.settings = inputs
    ctx.dim, ctx.size = list(dim), x.shape[dim[-1]]


def _adjoint(ctx: Any, c: Tensor) -> tuple[Tensor | None, ...]:
    """Return the transform the other way, with the same factor."""
    normalisation, forward = ctx.settings
    return fourier(c, ctx.dim, normalisation, not forward), None, None, None


def _adjoint_of_real(ctx: Any, c: Tensor) -> tuple[Tensor | None, ...]:
    """Return the real part of the transform backward; a half counts once what it holds."""
    normalisation, onesided = ctx.settings
    if not onesided:
        return fourier(c, ctx.dim, normalisation, False)[..., 0], None, None, None
    *others, last = ctx.dim
    if others:
        c = fourier(c, others, normalisation, False)
    once = count_twice(c, last, ctx.size, 0.5)
    return fourier_to_real(once, [last], normalisation, ctx.size), None, None, None


def _adjoint_to_real(ctx: Any, c: Tensor) -> tuple[Tensor | None, ...]:
    """Return the transform forward; entries that stand for two count twice."""
    normalisation, size = ctx.settings
    *others, last = ctx.dim
    back = count_twice(fourier_of_real(c, [last], normalisation, True), last, size, 2.0)
    if others:
        back = fourier(back, others, normalisation, True)
    return back, None, None, None


torch.library.register_autograd(_PAIRS, _adjoint, setup_context=_remember)
torch.library.register_autograd(_OF_REAL, _adjoint_of_real, setup_context=_remember)
torch.library.register_autograd(_TO_REAL, _adjoint_to_real, setup_context=_remember)


def _batched(op: Callable[..., Tensor]) -> Callable[..., tuple[Tensor, int]]:
    """Return the op with one more axis in front."""

    def run(
        info: object,
        in_dims: tuple[int, ...],
        x: Tensor,
        dim: Sequence[int],
        *settings: object,
    ) -> tuple[Tensor, int]:
        return op(x.movedim(in_dims[0], 0), [d + 1 for d in dim], *settings), 0

    return run


for _name, _op in (
    (_PAIRS, fourier),
    (_OF_REAL, fourier_of_real),
    (_TO_REAL, fourier_to_real),
):
    torch.library.register_vmap(_name, _batched(_op))
