"""Fourier transforms: ONNX writes complex values as pairs on a last axis."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from ...kernels.fourier import fourier, fourier_of_real, fourier_to_real
from ..op_table import op
from ..unsupported import Refused

_PLAIN, _SHARED = 0, 2  # ONNX divides the transform backward by the number of entries


def _fit(x: Tensor, axis: int, size: int) -> Tensor:
    """Cut an axis to a length, or fill it up with zeros."""
    missing = size - x.shape[axis]
    if missing <= 0:
        return x.narrow(axis, 0, size)
    return pad(x, [0, 0] * (x.dim() - 1 - axis) + [0, missing])


@op("DFT", since=17)
def dft_along_attribute(
    x: Tensor,
    dft_length: int | None = None,
    *,
    axis: int = 1,
    inverse: int = 0,
    onesided: int = 0,
) -> Tensor:
    """Transform real numbers (..., 1) or pairs (..., 2) along one axis."""
    return dft(x, dft_length, axis, inverse=inverse, onesided=onesided)


@op("DFT", since=20)
def dft_along_input(
    x: Tensor,
    dft_length: int | None = None,
    axis: int = -2,
    *,
    inverse: int = 0,
    onesided: int = 0,
) -> Tensor:
    """Transform real numbers (..., 1) or pairs (..., 2) along one axis."""
    return dft(x, dft_length, axis, inverse=inverse, onesided=onesided)


def dft(x: Tensor, length: int | None, axis: int, *, inverse: int, onesided: int) -> Tensor:
    """Do as either form of DFT."""
    axis %= x.dim()
    is_real = x.shape[-1] == 1
    if inverse and onesided:
        size = 2 * (x.shape[axis] - 1) if length is None else length
        return fourier_to_real(_fit(x, axis, size // 2 + 1), [axis], _SHARED, size).unsqueeze(-1)
    if length is not None:
        x = _fit(x, axis, length)
    if is_real and not inverse:
        return fourier_of_real(x.squeeze(-1), [axis], _PLAIN, bool(onesided))
    if onesided:
        raise Refused("onesided of complex numbers")
    pairs = torch.cat([x, torch.zeros_like(x)], -1) if is_real else x
    return fourier(pairs, [axis], _SHARED if inverse else _PLAIN, not inverse)


@op("STFT", since=17)
def stft(
    signal: Tensor,
    frame_step: int,
    window: Tensor | None = None,
    frame_length: int | None = None,
    *,
    onesided: int = 1,
) -> Tensor:
    """Transform every frame of real signals (batch, samples, 1); frames come second."""
    if signal.dim() == 3 and signal.shape[-1] == 2:
        raise Refused("an STFT of complex signals")
    x = signal.squeeze(-1) if signal.dim() == 3 else signal
    if frame_length is None:
        frame_length = x.shape[-1] if window is None else window.shape[0]
    frames = x.unfold(-1, frame_length, frame_step)
    if window is not None:
        frames = frames * window
    return fourier_of_real(frames, [2], _PLAIN, bool(onesided))


def _window(size: int, periodic: int, weights: tuple[float, ...]) -> Tensor:
    """Return a sum of cosines, of which `weights` are the amplitudes."""
    steps = size if periodic else size - 1
    angles = 2 * torch.pi * torch.arange(size).double() / steps
    return torch.stack([a * torch.cos(k * angles) for k, a in enumerate(weights)]).sum(0).float()


@op("HannWindow", since=17)
def hann_window(size: int, *, output_datatype: int = 1, periodic: int = 1) -> Tensor:
    """Return a Hann window in single precision."""
    return _single(output_datatype, _window(size, periodic, (0.5, -0.5)))


@op("HammingWindow", since=17)
def hamming_window(size: int, *, output_datatype: int = 1, periodic: int = 1) -> Tensor:
    """Return a Hamming window in single precision."""
    return _single(output_datatype, _window(size, periodic, (25 / 46, -21 / 46)))


@op("BlackmanWindow", since=17)
def blackman_window(size: int, *, output_datatype: int = 1, periodic: int = 1) -> Tensor:
    """Return a Blackman window in single precision."""
    return _single(output_datatype, _window(size, periodic, (0.42, -0.5, 0.08)))


def _single(code: int, window: Tensor) -> Tensor:
    if code != 1:
        raise Refused("a window in another dtype than single precision")
    return window
