"""Read spectrograms: which way up they are, how dark, and which frequency is where."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

_FLOOR = 60.0  # decibels below the loudest, which are white
_QUIET = 0.05  # of the largest: where half of the magnitudes are below, they are in decibels
_INSIDE = (0.005, 0.995)
_MOST = 9
_STEPS = (1, 2, 5, 10)


@dataclass(frozen=True)
class Tick:
    """A frequency beside a spectrogram: its place, from 0 at the bottom to 1 at the top."""

    place: float
    text: str


def upright(plane: Tensor, frequencies: Sequence[float]) -> Tensor:
    """Return a plane (frequency, time) with its lowest frequency in the last row.

    Args:
        plane: As the source holds it.
        frequencies: Of its rows, in Hz; () if unknown: they rise then.
    """
    return plane if _falls(frequencies) else plane.flip(0)


def darkness(values: Tensor) -> tuple[Tensor, str]:
    """Return how dark each cell is drawn, from 0 to 1, and in words by what.

    Magnitudes of which most are far below the largest are shown in decibels.
    """
    values = values.float()
    top = float(values.max())
    if float(values.min()) >= 0 and float(values.median()) < _QUIET * top:
        decibels = 20 * (values / top).clamp_min(1e-12).log10()
        return (1 + decibels / _FLOOR).clamp(0, 1), f"grey: {_FLOOR:g} decibels up to the loudest"
    low, high = _quantiles(values)
    return ((values - low) / ((high - low) or 1.0)).clamp(0, 1), "grey: the darker, the larger"


def find_ticks(count: int, frequencies: Sequence[float] = ()) -> list[Tick]:
    """Return a few frequencies to write beside a spectrogram: octaves, or round numbers.

    Args:
        count: Of its rows.
        frequencies: Of its rows, in Hz; () if unknown: rows have numbers then.
    """
    rows = np.sort(np.asarray(frequencies or range(count), dtype=float))
    places = (np.arange(count) + 0.5) / count
    chosen = _octaves(rows) if _is_geometric(rows) else _round_numbers(rows)
    write = _hertz if frequencies else "row {:g}".format
    return [Tick(float(np.interp(f, rows, places)), write(f)) for f in chosen]


def name_frequency(place: int, frequencies: Sequence[float]) -> str:
    """Return the name of a row: `440 Hz`, or `row 12` if its frequency is unknown."""
    return f"{frequencies[place]:.4g} Hz" if frequencies else f"row {place}"


def _falls(frequencies: Sequence[float]) -> bool:
    return len(frequencies) > 1 and frequencies[0] > frequencies[-1]


def _quantiles(values: Tensor) -> tuple[float, float]:
    """Return the values that nearly all entries are between."""
    ordered = values.flatten().sort().values
    places = [round(share * (len(ordered) - 1)) for share in _INSIDE]
    low, high = ordered[torch.tensor(places)].tolist()
    return low, high


def _is_geometric(rows: np.ndarray) -> bool:
    """Return whether rows are equally spaced in pitch, not in Hz."""
    if len(rows) < 3 or rows[0] <= 0:
        return False
    first, middle, last = rows[[0, len(rows) // 2, -1]].tolist()
    return bool(abs(middle**2 / (first * last) - 1) < 0.2 and last > 4 * first)


def _octaves(rows: np.ndarray) -> list[float]:
    count = int(math.log2(rows[-1] / rows[0])) + 1
    step = -(-count // _MOST)
    return [float(rows[0]) * 2**i for i in range(0, count, step)]


def _round_numbers(rows: np.ndarray) -> list[float]:
    span = float(rows[-1] - rows[0]) or 1.0
    unit = 10 ** math.floor(math.log10(span))
    step = next(s for m in (0.1, 1) for k in _STEPS if span / (s := k * unit * m) < 6)
    first = math.ceil(rows[0] / step)
    return [i * step for i in range(first, int(rows[-1] / step) + 1)]


def _hertz(frequency: float) -> str:
    return f"{frequency / 1000:g} kHz" if frequency >= 1000 else f"{frequency:g} Hz"
