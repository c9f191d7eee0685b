"""Decompose short-time Fourier transforms into frames, a window, and one transform of each frame.

Torch's own kernels address memory (`as_strided`), and the one for the way back reads data.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from ..errors import CaptureError
from ..graphs.aten import aten

_NONE, _ROOT, _WHOLE = 0, 1, 2  # torch's numbers for what a transform is divided by


def _full_window(window: Tensor | None, size: int, n_fft: int, like: Tensor) -> Tensor:
    """Return the window in the middle of n_fft entries, zero around it."""
    real = like.dtype.to_real() if like.dtype.is_complex else like.dtype
    given = torch.ones(size, dtype=real, device=like.device) if window is None else window
    left = (n_fft - size) // 2
    return pad(given, (left, n_fft - size - left)) if size < n_fft else given


def stft(
    x: Tensor,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Tensor | None = None,
    normalized: bool = False,
    onesided: bool | None = None,
    return_complex: bool | None = None,
    align_to_window: bool | None = None,
) -> Tensor:
    """Transform every frame of a signal (samples,) or (batch, samples), as `torch.stft` does.

    Returns:
        A complex tensor (batch, frequencies, frames), or its parts on one more axis.

    Raises:
        CaptureError: The frames are to be aligned to the window.
    """
    if align_to_window:
        raise CaptureError("stft with align_to_window: pad the window to n_fft entries instead")
    frames = x.unfold(-1, n_fft, hop_length or n_fft // 4)
    frames = frames * _full_window(window, win_length or n_fft, n_fft, x)
    norm, axis = _ROOT if normalized else _NONE, frames.dim() - 1
    if x.is_complex() or frames.is_complex():
        spectra = aten._fft_c2c(frames.to(_complex_of(frames)), [axis], norm, True)
    else:
        spectra = aten._fft_r2c(frames, [axis], norm, onesided is None or onesided)
    spectra = spectra.transpose(-1, -2)
    return spectra if return_complex else torch.view_as_real(spectra)


def stft_of_padded(
    x: Tensor,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Tensor | None = None,
    center: bool = True,
    pad_mode: str = "reflect",
    *settings: bool | None,
) -> Tensor:
    """Do the same of a signal that is padded, so that frames are centred."""
    if center:
        with_batch = x if x.dim() > 1 else x[None]
        padded = pad(with_batch, (n_fft // 2, n_fft // 2), mode=pad_mode)
        x = padded if x.dim() > 1 else padded[0]
    return stft(x, n_fft, hop_length, win_length, window, *settings)  # type: ignore[arg-type]


def istft(
    spectra: Tensor,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Tensor | None = None,
    center: bool = True,
    normalized: bool = False,
    onesided: bool | None = None,
    length: int | None = None,
    return_complex: bool = False,
) -> Tensor:
    """Transform spectra (batch, frequencies, frames) back and add frames up, as `torch.istft` does.

    Returns:
        Signals (batch, samples).
    """
    batched = spectra if spectra.dim() > 2 else spectra[None]
    by_frame = batched.transpose(1, 2)
    norm = _ROOT if normalized else _WHOLE
    if return_complex:
        frames = aten._fft_c2c(by_frame, [2], norm, False)
    else:
        frames = aten._fft_c2r(by_frame[..., : n_fft // 2 + 1], [2], norm, n_fft)
    full = _full_window(window, win_length or n_fft, n_fft, spectra)
    hop = hop_length or n_fft // 4
    start = n_fft // 2 if center else 0
    total = n_fft + hop * (frames.shape[1] - 1)
    end = total - start if length is None else start + length
    signal = _overlap(frames * full, hop, total)[:, start:end]
    weights = _overlap((full * full).expand(1, frames.shape[1], n_fft), hop, total)[:, start:end]
    signal = signal / weights
    if length is not None:
        signal = pad(signal, (0, length - signal.shape[1]))
    return signal if spectra.dim() > 2 else signal[0]


def _overlap(frames: Tensor, hop: int, total: int) -> Tensor:
    """Add frames (batch, frames, n_fft) up at distances of `hop`."""
    count, n_fft = frames.shape[1:]
    starts = torch.arange(count, device=frames.device) * hop
    places = starts[:, None] + torch.arange(n_fft, device=frames.device)
    empty = frames.new_zeros(frames.shape[0], total)
    return empty.index_add(1, places.flatten(), frames.flatten(1))


def _complex_of(x: Tensor) -> torch.dtype:
    return x.dtype if x.is_complex() else x.dtype.to_complex()
