"""Nets that compute with complex numbers, and the same nets in real numbers."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def rotation_table(length: int, size: int) -> Tensor:
    """Angles (length, size / 2), as rotary positions have them."""
    frequencies = 1 / 100 ** (torch.arange(0, size, 2).double() / size)
    return torch.outer(torch.arange(length).double(), frequencies)


class Rotary(nn.Module):
    """One block of attention with rotary positions, as the reference code of Llama writes them."""

    def __init__(self, real: bool = False) -> None:
        super().__init__()
        angles = rotation_table(16, 4)
        self.turns, self.angles = torch.polar(torch.ones_like(angles), angles), angles
        self.mix, self.out, self.head = nn.Linear(8, 24), nn.Linear(8, 8), nn.Linear(8, 3)
        self.turn = self.turn_real if real else self.turn_complex

    def turn_complex(self, x: Tensor) -> Tensor:
        pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)))
        turns = self.turns[: x.shape[1]].view(1, x.shape[1], 1, 2)
        return torch.view_as_real(pairs * turns).flatten(3).type_as(x)

    def turn_real(self, x: Tensor) -> Tensor:
        a, b = x.unflatten(-1, (-1, 2)).unbind(-1)
        angles = self.angles[: x.shape[1]].view(1, x.shape[1], 1, 2)
        cos, sin = angles.cos(), angles.sin()
        return torch.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(3)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.mix(x).unflatten(-1, (3, 2, 4)).unbind(2)
        q, k, v = (t.transpose(1, 2) for t in (self.turn(q), self.turn(k), v))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).flatten(-2))
        return self.head(F.silu(x))[:, -1]


def fourier_matrix(size: int) -> Tensor:
    """exp(-2 pi i j k / size), complex."""
    places = torch.arange(size).double()
    angles = -2 * math.pi * torch.outer(places, places) / size
    return torch.complex(angles.cos(), angles.sin())


class FNet(nn.Module):
    """A block that mixes by two Fourier transforms; in real numbers by products with matrices."""

    def __init__(self, real: bool = False) -> None:
        super().__init__()
        self.norm, self.inner, self.head = nn.LayerNorm(6), nn.Linear(6, 6), nn.Linear(6, 3)
        self.real = real

    def mix(self, x: Tensor) -> Tensor:
        if not self.real:
            return torch.fft.fft(torch.fft.fft(x, dim=-1), dim=-2).real
        features, steps = fourier_matrix(x.shape[2]), fourier_matrix(x.shape[1])
        re, im = x @ features.real, x @ features.imag
        return steps.real @ re - steps.imag @ im

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(x + self.mix(x))
        return self.head(F.gelu(self.inner(x))).mean(1)


class LongConvolution(nn.Module):
    """A causal convolution as long as its input, by rfft and irfft, with a gate, as in Hyena."""

    def __init__(self, real: bool = False) -> None:
        super().__init__()
        self.mix, self.head = nn.Linear(5, 8), nn.Linear(4, 3)
        self.kernel, self.real = nn.Parameter(torch.randn(4, 16)), real

    def convolve(self, x: Tensor) -> Tensor:
        length = x.shape[-1]
        kernel = self.kernel[:, :length]
        if self.real:
            return F.conv1d(F.pad(x, (length - 1, 0)), kernel.flip(-1)[:, None], groups=4)
        n = 2 * length
        product = torch.fft.rfft(x, n=n) * torch.fft.rfft(kernel, n=n)
        return torch.fft.irfft(product, n=n)[..., :length]

    def forward(self, x: Tensor) -> Tensor:
        h, gate = self.mix(x).transpose(1, 2).chunk(2, 1)
        return self.head((self.convolve(h) * gate).mean(-1))


class Spectrogram(nn.Module):
    """A convolutional net on the magnitudes of a short-time Fourier transform."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(8))
        self.conv, self.head = nn.Conv1d(5, 4, 3, bias=False), nn.Linear(4, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        spectra = torch.stft(x, 8, hop_length=4, window=self.window, return_complex=True)
        return self.head(torch.relu(self.conv(spectra.abs())).mean(-1))
