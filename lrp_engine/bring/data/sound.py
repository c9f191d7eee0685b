"""Read sound: arrays with a rate, the dicts of data sets, and files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ...boundary.media import read_compressed, read_wav
from ...errors import InputError
from ..batch import Sample
from .files import find_files, is_path, refuse_url

ENDINGS = (".wav", ".flac", ".ogg", ".mp3")
ONE_BY_ONE = (
    "explain those of one length together, or one by one: explain_batches(..., batch=1), --batch 1"
)


class Sound(NamedTuple):
    """A waveform, (samples,) or (channels, samples), and how many samples there are per second."""

    wave: NDArray[np.float32]
    rate: float | None


def holds_sound(data: Any) -> bool:
    """Return whether data are sound: files, dicts with a rate, or (array, rate)."""
    if isinstance(data, list):
        return bool(data) and all(map(holds_sound, data))
    return is_path(data, ENDINGS) or _is_dict(data) or _is_pair(data)


def sound_samples(data: Any) -> list[Sample]:
    """Return one sample per sound; files are not read yet. Raises InputError for an address."""
    found: list[Sample] = []
    for each in data if isinstance(data, list) else [data]:
        refuse_url(each)
        if isinstance(each, (str, Path)):
            found += find_files(each, ENDINGS, "sound")
        elif isinstance(each, (np.ndarray, Tensor)) and each.ndim > 1:
            found += [Sample(one) for one in each]
        else:
            found.append(Sample(each))
    return found


def read_sound(sample: Sample) -> Sound:
    """Return the waveform of a sample, as floats from -1 to 1 if it was whole numbers.

    Raises InputError for what is no sound.
    """
    thing = sample.value
    if isinstance(thing, Path):
        return _read_file(thing)
    if _is_dict(thing):
        return Sound(_floats(thing.get("array", thing.get("raw"))), float(thing["sampling_rate"]))
    if _is_pair(thing):
        return Sound(_floats(thing[0]), float(thing[1]))
    return Sound(_floats(thing), None)


def require_rate(sounds: list[Sound], rate: float | None) -> None:
    """Raise InputError if a sound has another rate than the model's."""
    for sound in sounds:
        if rate is not None and sound.rate is not None and sound.rate != rate:
            raise InputError(
                f"the sound has {sound.rate:g} samples per second, the model takes {rate:g}:"
                " resample it first"
            )


def _read_file(path: Path) -> Sound:
    rate, wave = (read_wav if path.suffix.lower() == ".wav" else read_compressed)(path)
    return Sound(_floats(wave.T), float(rate))


def _floats(wave: Any) -> NDArray[np.float32]:
    if isinstance(wave, Tensor):
        wave = wave.detach().cpu().numpy()
    array = np.asarray(wave)
    if array.dtype == object or array.ndim not in (1, 2):
        raise InputError(
            f"sound is an array (samples,) or (channels, samples), not one of shape {array.shape}"
        )
    if array.dtype == np.uint8:  # 8-bit files are the only ones without a sign
        return ((array.astype(np.float32) - 128) / 128).astype(np.float32)
    if np.issubdtype(array.dtype, np.integer):
        return (array / -float(np.iinfo(array.dtype).min)).astype(np.float32)
    return array.astype(np.float32)


def _is_dict(thing: Any) -> bool:
    return isinstance(thing, Mapping) and "sampling_rate" in thing


def _is_pair(thing: Any) -> bool:
    return (
        isinstance(thing, tuple)
        and len(thing) == 2
        and isinstance(thing[0], np.ndarray)  # a tensor and a number may be a model's arguments
        and thing[0].ndim in (1, 2)
        and isinstance(thing[1], (int, float))
        and not isinstance(thing[1], bool)
    )
