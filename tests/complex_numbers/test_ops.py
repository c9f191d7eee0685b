"""Every op on complex values: the model's output, autograd's gradient, and accounts that close."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lrp_engine as lrp
from lrp_engine.errors import CoverageError, TargetError
from tests.support import assert_close, draw

Function = Callable[[Tensor, Tensor], object]
WEIGHT = torch.complex(draw(4, 3), draw(4, 3, seed=1))
X = draw(2, 3, 8)


class Applied(nn.Module):
    """Applies a function of a complex value and a complex parameter."""

    def __init__(self, function: Function) -> None:
        super().__init__()
        self.weight, self.function = nn.Parameter(WEIGHT), function

    def forward(self, x: Tensor) -> object:
        return self.function(torch.complex(x[..., :4], x[..., 4:]), self.weight)


def parts(z: Tensor) -> Tensor:
    return torch.view_as_real(z.resolve_conj()).flatten(1)


def overwritten(z: Tensor) -> Tensor:
    z = z.clone().mul_(2j)
    z[..., 0] = 0
    return z


def restored(x: Tensor) -> Tensor:
    window = torch.hann_window(8, dtype=x.dtype)
    spectra = torch.stft(x, 8, 2, 6, window[1:7], normalized=True, return_complex=True)
    return torch.istft(spectra * (1 - 2j), 8, 2, 6, window[1:7], normalized=True, length=22)


SERVED: dict[str, Function] = {
    "products": lambda z, w: parts(z * z.flip(-1) * w[:, 0] * 1j + z.real * z - (2 - 1j)),
    "quotients": lambda z, w: parts(z / z.flip(-1) + z / (z.real**2 + 1) + z.real / z + 1 / z),
    "powers": lambda z, w: parts(z**3 + z.square() + 0.1 * z**-2 + z**0),
    "conjugates": lambda z, w: parts(z.mH @ z + (z.conj() @ w).sum()),
    "sizes": lambda z, w: (z.abs() + z.abs() ** 2 + z.angle() + z.imag).flatten(1),
    "polar": lambda z, w: parts(torch.polar(z.abs(), z.real)),
    "functions": lambda z, w: parts(torch.exp(z) + torch.log(z) + z.sgn()),
    "modulus relu": lambda z, w: parts(torch.relu(z.abs() - 0.3) * z.sgn()),
    "sums": lambda z, w: parts(z.cumsum(-1).mean(1) + z.sum((1, 2))[:, None]),
    "choices": lambda z, w: parts(torch.where(z.real > 0, z, 0).masked_fill(z.imag > 1, 1.5)),
    "joins": lambda z, w: parts(torch.cat([F.pad(z, (1, 2)), z.real, torch.zeros_like(z)], -1)),
    "splits": lambda z, w: parts(z.unbind(1)[1] + z.split(2, 1)[0][:, 0]),
    "gather": lambda z, w: parts(z.gather(1, ZEROS)),
    "einsum": lambda z, w: parts(torch.einsum("bnd,dk->bnk", z, w)),
    "linear": lambda z, w: parts(F.linear(z, w.mT.contiguous(), w[0])),
    "addmm": lambda z, w: parts(torch.addmm(w[0], z[:, 0], w)),
    "convolution": lambda z, w: parts(F.conv1d(z, w[:, :, None].repeat(1, 1, 2), w[:, 0])),
    "casts": lambda z, w: parts(z.real.to(torch.complex128) * w[0, 0] + z.to(torch.complex64)),
    "writes": lambda z, w: parts(overwritten(z)),
    "norm": lambda z, w: torch.linalg.vector_norm(z, dim=-1),
    "fft": lambda z, w: parts(torch.fft.fft(z, n=6, norm="ortho") + torch.fft.ifft(z.real, n=6)),
    "fft of several axes": lambda z, w: parts(torch.fft.fft2(z.real) + torch.fft.fftshift(z)),
    "half spectra": lambda z, w: torch.fft.irfft2(torch.fft.rfft2(z.real) * z[..., :3]).flatten(1),
    "odd half spectra": lambda z, w: (torch.fft.irfft(z, n=7) + torch.fft.hfft(z, n=7)).flatten(1),
    "stft and back": lambda z, w: restored(z.real.flatten(1).repeat(1, 2)),
}  # fmt: skip
ZEROS = torch.zeros(2, 1, 4, dtype=torch.long)


@pytest.mark.parametrize("name", SERVED)
def test_gradient_is_autograds_and_accounts_close(name: str) -> None:
    model = Applied(SERVED[name]).eval()
    x = X.clone().requires_grad_()
    output = model(x)
    target = draw(*output.shape, seed=3)
    (wanted,) = torch.autograd.grad((output * target).sum(), x)
    engine = lrp.Engine(model, X, preset="gradient", dynamic=False)
    assert_close(
        engine.explain(X, target).coefficient["x"], wanted, 1e-6 if name == "casts" else 1e-10
    )
    found = engine.with_preset("attnlrp").explain(X, target, ledger=True)
    found.ledger.check()


REFUSED: dict[str, Function] = {
    "aten.tanh.default": lambda z, w: torch.tanh(z).real,
    "aten.pow.Tensor_Scalar": lambda z, w: (z**0.5).real,
    "aten.linalg_inv.default": lambda z, w: torch.linalg.inv(z[..., :3]).real,
}


@pytest.mark.parametrize("op", REFUSED)
def test_an_op_without_a_spelling_is_named_with_its_line(op: str) -> None:
    with pytest.raises(CoverageError, match=rf"1 live op(.*\n)+.*{op}.*{__file__}:\d+") as caught:
        lrp.Engine(Applied(REFUSED[op]).eval(), X, dynamic=False)
    assert "docs/complex-numbers.md" in str(caught.value)


def test_what_no_relevance_passes_may_stay_complex() -> None:
    model = Applied(lambda z, w: z.abs() * torch.tanh(w)[:, 0].real).eval()
    found = lrp.explain(model, X, torch.ones(2, 3, 4), dynamic=False)
    torch.testing.assert_close(found.output, model(X).detach())


def test_a_complex_output_is_returned_but_not_explained() -> None:
    model = Applied(lambda z, w: {"spectrum": z * 1j, "sizes": z.abs()[:, 0]}).eval()
    found = lrp.Engine(model, X, dynamic=False).explain(X, 0)
    for name, wanted in model(X).items():
        torch.testing.assert_close(found.output[name], wanted.detach())
    with pytest.raises(TargetError, match=r"'spectrum' is complex.*\.abs\(\), \.real or \.imag"):
        lrp.Engine(model, X, output="spectrum", dynamic=False)


class OfComplex(nn.Module):
    """Reads a complex input."""

    def forward(self, z: Tensor) -> Tensor:
        return (z * WEIGHT[:, 0]).abs()


def test_relevance_of_a_complex_input_is_that_of_its_parts() -> None:
    z = torch.complex(X[:, 0, :4], X[:, 0, 4:])
    found = lrp.explain(OfComplex().eval(), z, 1, ledger=True)
    pairs = torch.view_as_real(z)
    wanted = lrp.explain(lambda pairs: OfComplex()(torch.view_as_complex(pairs)), pairs, 1)
    assert_close(found.relevance["z"], wanted.relevance["pairs"], 1e-12)
    assert_close(found.relevance["z"].sum((1, 2)), OfComplex()(z)[:, 1], 1e-12)
