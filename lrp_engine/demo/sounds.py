"""Read recordings, and pluck strings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.io import wavfile
from scipy.signal import lfilter

Sound = npt.NDArray[np.float32]


def read_sound(file: Path) -> Sound:
    """Return a recording of one channel and 16 bits, from -1 to 1."""
    _, samples = wavfile.read(file)
    return np.asarray(samples / 32768, dtype=np.float32)


def pluck(frequency: float, seconds: float, rate: int) -> Sound:
    """Return a plucked string: noise in a loop of one period (Karplus and Strong, 1983)."""
    period, count = round(rate / frequency), int(seconds * rate)
    excitation = np.zeros(count)
    excitation[:period] = np.random.default_rng(0).standard_normal(period)
    loop = np.zeros(period + 2)
    loop[0], loop[period:] = 1, -0.498
    sound: Any = lfilter([1], loop, excitation)
    return np.asarray(0.7 * sound / np.abs(sound).max(), dtype=np.float32)


def pluck_in_turn(frequencies: list[float], count: int, rate: int) -> Sound:
    """Return `count` samples: strings one after the other, then all of them together."""
    *own, together = (int(s) for s in np.linspace(0.06, 1, len(frequencies) + 1, False) * count)
    ends = [*own[1:], together]
    sound = np.zeros(count, np.float32)
    for frequency, first, last in zip(frequencies, own, ends, strict=True):
        for start, end in ((first, last), (together, count)):
            sound[start:end] += pluck(frequency, (end - start + 1) / rate, rate)[: end - start]
    return np.asarray(0.7 * sound / np.abs(sound).max(), dtype=np.float32)
