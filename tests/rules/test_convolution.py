"""The closed adjoints of convolutions against autograd, over every setting they have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lrp_engine.graphs.schema import Operand, bind
from lrp_engine.method.call import Call
from lrp_engine.method.registry import standard
from lrp_engine.rules.convolution import conv_adjoint, conv_transpose_adjoint

aten = torch.ops.aten
CONVOLUTION = {1: aten.conv1d.default, 2: aten.conv2d.default, 3: aten.conv3d.default}
TRANSPOSED = {
    1: aten.conv_transpose1d.default,
    2: aten.conv_transpose2d.input,
    3: aten.conv_transpose3d.input,
}


@dataclass(frozen=True)
class Setting:
    """One spatial axis. `spare` entries at the end are reached by no window."""

    kernel: int
    stride: int
    padding: int
    dilation: int
    windows: int
    spare: int

    @property
    def reach(self) -> int:
        """Entries from a window's first to its last."""
        return self.dilation * (self.kernel - 1) + 1

    @property
    def size(self) -> int:
        """The input size at which exactly `windows` windows fit and `spare` entries are left."""
        return (self.windows - 1) * self.stride + self.reach + self.spare - 2 * self.padding


@st.composite
def axis(draw: st.DrawFn) -> Setting:
    kernel, stride = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    dilation, windows = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    spare = draw(st.integers(0, stride - 1))
    room = (windows - 1) * stride + dilation * (kernel - 1) + spare
    padding = draw(st.integers(0, min(4, room // 2)))
    return Setting(kernel, stride, padding, dilation, windows, spare)


@st.composite
def axes(draw: st.DrawFn) -> list[Setting]:
    return draw(st.lists(axis(), min_size=1, max_size=2))


def random(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(len(shape) + sum(shape))
    return torch.randn(shape, dtype=torch.float64, generator=generator)


def gap(target: Any, adjoint: Any, x: Tensor, weight: Tensor, *rest: Any) -> float:
    """Largest difference between the adjoint and autograd, relative to the largest entry."""
    op = standard().find(target, {}, frozenset({"input"}))
    assert op is not None
    assert op.adjoint is adjoint
    out = target(x, weight, None, *rest)
    c = random(*out.shape)
    call = Call(op, bind(target, (x, weight, None, *rest), {}), (Operand("input"),), out)
    (expected,) = call.vjp(c)
    found = adjoint(call, c, weight)
    assert found.shape == x.shape
    return float((found - expected).abs().max() / expected.abs().max().clamp_min(1e-300))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(axes(), st.integers(1, 3), st.integers(1, 2), st.booleans())
def test_convolution(settings: list[Setting], groups: int, channels: int, batched: bool) -> None:
    x = random(*([2] if batched else []), groups * channels, *(a.size for a in settings))
    weight = random(2 * groups, channels, *(a.kernel for a in settings))
    target = CONVOLUTION[len(settings)]
    stride, padding, dilation = (
        [getattr(a, name) for a in settings] for name in ("stride", "padding", "dilation")
    )
    assert gap(target, conv_adjoint, x, weight, stride, padding, dilation, groups) <= 1e-12


@settings(max_examples=150, deadline=None, derandomize=True)
@given(axes(), st.integers(1, 3), st.integers(1, 2), st.booleans(), st.data())
def test_transposed_convolution(
    settings: list[Setting], groups: int, channels: int, batched: bool, data: st.DataObject
) -> None:
    x = random(*([2] if batched else []), 2 * groups, *(a.windows + 1 for a in settings))
    weight = random(2 * groups, channels, *(a.kernel for a in settings))
    # Also output paddings of a stride and more, which dilation allows.
    extra = [data.draw(st.integers(0, max(a.stride, a.dilation) - 1)) for a in settings]
    sides = [
        data.draw(st.integers(0, (a.windows * a.stride + a.reach + e - 1) // 2))
        for a, e in zip(settings, extra, strict=True)
    ]
    stride, dilation = ([getattr(a, name) for a in settings] for name in ("stride", "dilation"))
    rest = (stride, sides, extra, groups, dilation)
    target = TRANSPOSED[len(settings)]
    assert gap(target, conv_transpose_adjoint, x, weight, *rest) <= 1e-12


def test_three_dimensions() -> None:
    x, weight = random(1, 2, 7, 6, 5), random(4, 1, 3, 2, 2)
    rest = ([3, 2, 1], [1, 0, 1], [1, 2, 1], 2)
    assert gap(CONVOLUTION[3], conv_adjoint, x, weight, *rest) <= 1e-12
    x, weight = random(1, 4, 3, 2, 2), random(4, 1, 3, 2, 2)
    rest = ([3, 2, 1], [1, 0, 1], [2, 1, 0], 2, [1, 2, 1])
    assert gap(TRANSPOSED[3], conv_transpose_adjoint, x, weight, *rest) <= 1e-12


def test_one_number_stands_for_every_axis() -> None:
    x, weight = random(1, 2, 9, 8), random(2, 2, 3, 3)
    assert gap(CONVOLUTION[2], conv_adjoint, x, weight, [3], [1], [1], 1) <= 1e-12


def test_last_columns_that_no_window_reaches_get_nothing() -> None:
    x, weight = random(1, 1, 1, 9), random(1, 1, 1, 2)
    op = standard().find(CONVOLUTION[2], {}, frozenset({"input"}))
    call = Call(
        op,
        bind(CONVOLUTION[2], (x, weight, None, [1, 4]), {}),
        (Operand("input"),),
        CONVOLUTION[2](x, weight, None, [1, 4]),
    )
    back = conv_adjoint(call, torch.ones(1, 1, 1, 2).double(), weight)
    assert back[0, 0, 0].ne(0).tolist() == [True, True, False, False, True, True] + [False] * 3
