"""The linear ops of Fourier transforms: torch's own numbers, and their transposes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lrp_engine.kernels.fourier import fourier, fourier_of_real, fourier_to_real
from tests.support import draw

aten = torch.ops.aten
AXES = ([1], [0, 1], [1, 0])


def assert_transposed(transform: object, x: Tensor) -> None:
    """<c, A x> = <A^T c, x>, and the same of the adjoint's adjoint."""
    x = x.clone().requires_grad_()
    out = transform(x)
    c = draw(*out.shape, seed=5).requires_grad_()
    (back,) = torch.autograd.grad(out, x, c, create_graph=True)
    torch.testing.assert_close((back * x).sum(), (out * c).sum())
    (again,) = torch.autograd.grad(back, c, x.detach())
    torch.testing.assert_close(again, out)


@pytest.mark.parametrize("size", [1, 2, 5, 6])
@pytest.mark.parametrize("dim", AXES)
@pytest.mark.parametrize("norm", [0, 1, 2])
def test_torchs_numbers_and_transposes(size: int, dim: list[int], norm: int) -> None:
    pairs, x = draw(3, size, 2), draw(3, size)
    both = torch.view_as_complex(pairs)
    for flag in (True, False):
        wanted = aten._fft_c2c(both, dim, norm, flag)
        assert torch.equal(fourier(pairs, dim, norm, flag), torch.view_as_real(wanted))
        assert_transposed(lambda z, flag=flag: fourier(z, dim, norm, flag), pairs)
        wanted = aten._fft_r2c(x, dim, norm, flag)
        assert torch.equal(fourier_of_real(x, dim, norm, flag), torch.view_as_real(wanted))
        assert_transposed(lambda z, flag=flag: fourier_of_real(z, dim, norm, flag), x)
    wanted = aten._fft_r2c(x, dim, norm, True)
    half = torch.view_as_real(wanted).contiguous()
    whole = x.shape[dim[-1]]
    torch.testing.assert_close(
        fourier_to_real(half, dim, norm, whole), aten._fft_c2r(wanted, dim, norm, whole)
    )
    assert_transposed(lambda z: fourier_to_real(z, dim, norm, whole), draw(*half.shape, seed=3))


@pytest.mark.parametrize(
    ("op", "arguments"),
    [
        (fourier, (draw(2, 3, 4, 2), [0, 2], 1, True)),
        (fourier_of_real, (draw(2, 3, 4), [0, 2], 1, True)),
        (fourier_to_real, (draw(2, 3, 3, 2), [0, 2], 1, 4)),
    ],
)
def test_torch_can_trace_them(op: object, arguments: tuple[object, ...]) -> None:
    torch.library.opcheck(op, arguments)
    x, dim, *rest = arguments
    found = torch.vmap(lambda one: op(one, [d - 1 for d in dim[1:]], *rest))(x)
    assert torch.equal(found, op(x, dim[1:], *rest))
