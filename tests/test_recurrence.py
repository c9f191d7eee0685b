"""The linear recurrence, by every way of computing it, against a loop from its definition."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lrp_engine.kernels import linear_recurrence
from lrp_engine.kernels.recurrence_torch import run_doubling, run_steps
from tests.support import assert_close, draw

CALLS = [(reverse, adjoint, share) for reverse in (False, True) for adjoint in (False, True)
         for share in (1.0, 0.5)]  # fmt: skip
WITHIN = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float16: 2e-3}
SHAPES = [((4, 5, 3), 1), ((7,), 0), ((2, 3, 40), 2), ((40, 2, 2), 0), ((2, 3, 1, 2), 2)]


def slow(a: Tensor, b: Tensor, dim: int, reverse: bool, adjoint: bool, share: float) -> Tensor:
    """One step after the other in double precision."""
    a, b = (x.double().movedim(dim, 0) for x in (a, b))
    if reverse:
        a, b = a.flip(0), b.flip(0)
    h = torch.zeros_like(b)
    for t in reversed(range(len(h))) if adjoint else range(len(h)):
        h[t] = b[t]
        if adjoint and t + 1 < len(h):
            h[t] += share * a[t + 1] * h[t + 1]
        if not adjoint and t > 0:
            h[t] += share * a[t] * h[t - 1]
    return (h.flip(0) if reverse else h).movedim(0, dim)


def operands(shape: tuple[int, ...], dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    return draw(*shape, seed=1).sigmoid().to(dtype), draw(*shape, seed=2).to(dtype)


def agrees(way: Any, a: Tensor, b: Tensor, dim: int, *call: Any) -> None:
    reverse, adjoint, share = call
    found = way(a, b, dim, reverse != adjoint, adjoint, share)
    assert found.dtype is b.dtype
    assert found.is_contiguous()
    assert_close(found.double(), slow(a, b, dim, *call).to(found.device), WITHIN[b.dtype])


@st.composite
def problems(data: st.DrawFn) -> tuple[Any, ...]:
    shape = tuple(data(st.lists(st.integers(1, 6), min_size=1, max_size=4)))
    dim = data(st.integers(-len(shape), len(shape) - 1))
    return shape, dim, data(st.sampled_from(list(WITHIN))), data(st.sampled_from(CALLS))


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(problems(), st.booleans())
def test_every_way_gives_the_same(problem: tuple[Any, ...], transposed: bool) -> None:
    shape, dim, dtype, call = problem
    a, b = operands(shape, dtype)
    if transposed:
        a, dim = a.movedim(0, -1).contiguous().movedim(-1, 0), dim % len(shape)
    for way in (run_steps, run_doubling):
        agrees(way, a, b, dim % len(shape), *call)
    found = linear_recurrence(a, b, dim, *call)
    assert torch.equal(found, linear_recurrence(a.clone(), b, dim % len(shape), *call))
    assert_close(found.double(), slow(a, b, dim, *call), WITHIN[dtype])


def test_single_precision_has_the_roundings_of_a_loop() -> None:
    a, b = operands((3, 50, 4), torch.float32)
    h, states = torch.zeros(3, 4), []
    for t in range(50):
        h = a[:, t] * h + b[:, t]
        states.append(h)
    assert torch.equal(linear_recurrence(a, b, 1), torch.stack(states, 1))


@pytest.mark.parametrize("reverse, adjoint, share", CALLS)
def test_derivatives_and_many_at_once(reverse: bool, adjoint: bool, share: float) -> None:
    a, b = (x.requires_grad_() for x in operands((2, 4, 3)))

    def run(a: Tensor, b: Tensor) -> Tensor:
        return linear_recurrence(a, b, -2, reverse, adjoint, share)

    assert torch.autograd.gradcheck(run, (a, b))
    assert torch.autograd.gradgradcheck(run, (a, b))
    many = draw(2, 4, 5, 3)
    alone = torch.stack([run(a, many[:, :, i]) for i in range(5)])
    assert torch.equal(torch.vmap(run, in_dims=(None, 2))(a, many), alone)


def test_torch_finds_the_op_well_behaved() -> None:
    a, b = (x.requires_grad_() for x in operands((2, 4, 3)))
    op = torch.ops.lrp_engine.linear_recurrence.default
    torch.library.opcheck(op, (a, b, 1), {"reverse": True, "share": 0.5})


def test_operands_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="differ in shape or dtype"):
        linear_recurrence(torch.ones(2, 3), torch.ones(3), 0)


def check_fused(device: str) -> None:
    """The Triton kernel; beyond its blocks, too, and with a decay that all entries share."""
    from lrp_engine.kernels.recurrence_triton import run_kernel

    for shape, dim in [*SHAPES, ((70, 33, 3), 1)]:
        for dtype in (torch.float64, torch.float32, torch.bfloat16):
            a, b = (x.to(device) for x in operands(shape, dtype))
            for call in CALLS:
                agrees(run_kernel, a, b, dim, *call)
                agrees(run_kernel, a[:1].expand(shape), b, dim, *call) if dim else None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_kernel_on_a_gpu() -> None:
    check_fused("cuda")
    a, b = (x.cuda() for x in operands((2, 300, 8), torch.float32))
    assert_close(linear_recurrence(a, b, 1).cpu(), linear_recurrence(a.cpu(), b.cpu(), 1), 1e-5)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs Triton")
def test_kernel_interpreted() -> None:
    """Triton decides when it is loaded whether it interprets."""
    code = "from tests.test_recurrence import check_fused; check_fused('cpu')"
    interpreting = os.environ | {"TRITON_INTERPRET": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=interpreting, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
