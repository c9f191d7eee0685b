"""The ops of two runs that have kernels of their own, against their definitions in double."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from lrp_engine.graphs.aten import aten
from lrp_engine.kernels import secants_torch
from lrp_engine.kernels.secants import secant_of_gelu
from lrp_engine.kernels.two_run_norm import passed_through, two_run_norm
from lrp_engine.rules.two_runs.attention_blocks import two_run_attention

FUNCTIONS = {
    "cube": lambda x: x**3,
    "exp": torch.exp,
    "gelu": aten.gelu,
    "gelu_tanh": lambda x: aten.gelu(x, approximate="tanh"),
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "silu": aten.silu,
    "tanh": torch.tanh,
}


def points(seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return pairs from far apart to a rounding error apart, some equal, of either sign."""
    draw = torch.Generator().manual_seed(seed)
    a, step = (torch.randn(4096, generator=draw, dtype=torch.float64) for _ in range(2))
    b = 3 * a + step * torch.logspace(-16, 1, 4096, dtype=torch.float64)
    b[::100] = 3 * a[::100]
    return b, 3 * a


def slope(name: str, x: Tensor) -> Tensor:
    x = x.clone().requires_grad_()
    (found,) = torch.autograd.grad(FUNCTIONS[name](x).sum(), x)
    return found


def distance(found: Tensor, wanted: Tensor) -> float:
    """Return the largest difference as a part of the largest entry."""
    wide = wanted.double()
    return float((found.double().cpu() - wide.cpu()).abs().max() / wide.abs().max())


@pytest.mark.parametrize("name", FUNCTIONS)
def test_secants_give_the_difference_and_the_slope(name: str) -> None:
    b, a = points()
    found, f = getattr(secants_torch, name)(b, a), FUNCTIONS[name]
    change, size = f(b) - f(a), f(b).abs() + f(a).abs() + 1
    assert bool(((found * (b - a) - change).abs() <= 4e-15 * size).all())
    near = (b - a).abs() < 1e-6
    if name == "relu":
        near &= b * a > 0
    wanted = slope(name, (a + b) / 2)
    assert bool(((found - wanted).abs() <= 1e-11 * (1 + wanted.abs()))[near].all())


@pytest.mark.parametrize("name", FUNCTIONS)
def test_secants_hold_in_single_and_half_precision(name: str) -> None:
    for dtype in (torch.float32, torch.bfloat16):
        b, a = (x.to(dtype) for x in points())
        wanted = getattr(secants_torch, name)(b.double(), a.double())
        found = getattr(torch.ops.lrp_engine, f"secant_of_{name}")(b, a)
        assert found.dtype == dtype
        error = (found.double() - wanted).abs() / (1 + wanted.abs())
        assert float(error.max()) <= 8 * torch.finfo(dtype).eps


def test_secants_do_not_depend_on_the_layout() -> None:
    b, a = (x[:4000].view(40, 100) for x in points())
    wanted = secants_torch.gelu(b, a)
    wide_b = torch.cat([b, b], 1)[:, :100]
    for one, other in [(b, a.t().contiguous().t()), (wide_b, a), (b[:1].expand(40, 100), a)]:
        if one is not wide_b and one is not b:
            wanted = secants_torch.gelu(one, other)
        torch.testing.assert_close(secant_of_gelu(one, other), wanted, rtol=1e-14, atol=1e-15)
    assert secant_of_gelu(b[:0], a[:0]).shape == (0, 100)
    with pytest.raises(ValueError, match="differ in shape or dtype"):
        secant_of_gelu(b, a[:1])


def test_ops_are_well_formed() -> None:
    b, a = (x[:96].view(2, 4, 12) for x in points())
    torch.library.opcheck(secant_of_gelu, (b, a))
    torch.library.opcheck(two_run_norm, (b, b, a, b[0, 0], 1e-5, True))


def test_norms_in_pieces_and_for_several_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    b, a = (x.view(2, 64, 32) for x in points())
    c, weight = points(1)[0].view(2, 64, 32), points(2)[0][:32]
    for centred in (True, False):
        wanted = passed_through(c, b, a, weight, 1e-5, centred)
        monkeypatch.setattr("lrp_engine.kernels.two_run_norm._PIECE", 100)
        torch.testing.assert_close(two_run_norm(c, b, a, weight, 1e-5, centred), wanted)
        several = torch.stack([c, -2 * c, 3 * c])
        found = torch.vmap(lambda one: two_run_norm(one, b, a, weight, 1e-5, centred))(several)  # noqa: B023
        torch.testing.assert_close(found, several / c * wanted)


def check_secants(device: str) -> None:
    from lrp_engine.kernels.secants_triton import run_kernel

    for name in FUNCTIONS:
        for dtype in (torch.float32, torch.bfloat16):
            b, a = (x.to(device, dtype) for x in points())
            found = torch.full_like(b, torch.nan)
            run_kernel(name, b, a, found)
            wanted = getattr(secants_torch, name)(b.double(), a.double())
            error = (found.double() - wanted).abs() / (1 + wanted.abs())
            assert float(error.max()) <= 8 * torch.finfo(dtype).eps, (name, dtype, error.max())


def check_norms(device: str) -> None:
    from lrp_engine.kernels.two_run_norm_triton import run_kernel

    for dtype, close in ((torch.float32, 1e-6), (torch.bfloat16, 8e-3)):
        b, a = (x[:3900].view(100, 39).to(device, dtype) for x in points())
        c = points(1)[0][:3900].view(100, 39).repeat(2, 1).to(device, dtype)
        for weight in (None, points(2)[0][:39].to(device, dtype)):
            for centred in (True, False):
                given = [c, *(x.repeat(2, 1) for x in (b, a)), weight]
                wide = [None if x is None else x.double() for x in given]
                wanted = passed_through(*wide, 1e-5, centred)
                found = run_kernel(c, b, a, weight, 1e-5, centred)
                assert distance(found, wanted) < close, (dtype, centred)


def attention_calls() -> Iterator[tuple[list[Tensor], list[Tensor | None], bool]]:
    """Yield (c, query, key, value of either run), masks, causal: odd sizes, several targets."""
    for seed, (n, m, width) in enumerate([(70, 70, 24), (33, 129, 100)]):
        draw = torch.Generator().manual_seed(seed)
        shapes = [(2, 3, n, 20), *[(2, 3, n, width), (2, 3, m, width), (2, 3, m, 20)] * 2]
        given = [torch.randn(s, generator=draw, dtype=torch.float64) for s in shapes]
        given[4:] = [(x + y) / 2 for x, y in zip(given[1:4], given[4:], strict=True)]
        masks = [torch.rand(2, 1, n, m, generator=draw) > 0.4 for _ in range(2)]
        for mask in masks:
            mask[:, :, 3] = False  # a query that looks at nothing
        if seed:
            yield given, masks, False
        else:
            several = torch.randn(3, *shapes[0], generator=draw, dtype=torch.float64)
            yield [several, *given[1:]], [None, None], True


def check_attention(device: str) -> None:
    from lrp_engine.rules.two_runs.attention_blocks import _by_kernels

    allowed = {torch.float32: 2e-5, torch.bfloat16: 2e-2}
    if device == "cpu":  # Triton's interpreter multiplies no matrices in bfloat16
        del allowed[torch.bfloat16]
    for given, masks, causal in attention_calls():
        for dtype, close in allowed.items():
            c, *kinds = (x.to(device, dtype) for x in given)
            here = [m if m is None else m.to(device) for m in masks]
            wide = [x.double().cpu() for x in (c, *kinds)]
            wanted = two_run_attention(wide[0], wide[1:4], wide[4:], *masks, causal, 0.3)
            found = _by_kernels(c, kinds[:3], kinds[3:], *here, causal, 0.3)
            for name, one, other in zip("qkv", found, wanted, strict=True):
                assert bool(one.isfinite().all())
                assert distance(one, other) < close, (name, dtype, causal, distance(one, other))


CHECKS = {"secants": check_secants, "norms": check_norms, "attention": check_attention}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", CHECKS)
def test_kernels_on_a_gpu(name: str) -> None:
    CHECKS[name]("cuda")


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs Triton")
@pytest.mark.parametrize("name", CHECKS)
def test_kernels_interpreted(name: str) -> None:
    """Triton decides when it is loaded whether it interprets."""
    code = f"from tests.two_runs.test_kernels import check_{name}; check_{name}('cpu')"
    interpreting = os.environ | {"TRITON_INTERPRET": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=interpreting, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
