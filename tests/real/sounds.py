"""A voice made by a script, of formants."""

import numpy as np
from scipy.signal import lfilter

VOWELS = ((730, 1090, 2440), (270, 2290, 3010), (570, 840, 2410), (530, 1840, 2480))


def voice(seconds: float, rate: int = 16000, pitch: float = 120.0) -> np.ndarray:
    """Glottal pulses through the formants of four vowels, with pauses between them."""
    random, count = np.random.default_rng(0), int(seconds * rate)
    wobble = 1 + 0.1 * np.sin(2 * np.pi * 1.3 * np.arange(count) / rate)
    pulses = np.diff(np.floor(np.cumsum(pitch * wobble) / rate), prepend=0) > 0
    source = pulses + 0.02 * random.standard_normal(count)
    part, sound = count // len(VOWELS), 1e-4 * random.standard_normal(count)
    for i, formants in enumerate(VOWELS):
        spoken = source
        for frequency, width in zip(formants, (80, 100, 150), strict=True):
            r = np.exp(-np.pi * width / rate)
            turn = -2 * r * np.cos(2 * np.pi * frequency / rate)
            spoken = lfilter([1 - r], [1, turn, r * r], spoken)
        inside = slice(i * part, i * part + int(0.8 * part))
        sound[inside] += spoken[inside] * np.hanning(int(0.8 * part))
    return (0.5 * sound / np.abs(sound).max()).astype(np.float32)
