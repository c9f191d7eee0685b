"""Read sound for models that take waveforms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from ...errors import InputError
from ...show.axes import Axis
from ...show.labels import SourceLabels
from ..batch import THE_SOURCE, Batch, Sample, names_of, truth_of
from ..data.sound import ONE_BY_ONE, read_sound, require_rate, sound_samples


@dataclass(frozen=True)
class SoundReader:
    """Reads waveforms as they are, of one length, at the model's rate.

    Args:
        rate: Samples per second that the model takes; None: unknown, any is taken.
    """

    takes: ClassVar[tuple[str, ...]] = ("rate",)
    what: ClassVar[str] = "sound"

    rate: float | None = None

    def samples(self, data: Any) -> Sequence[Sample]:
        """Return one sample per sound; files are not read yet. Raises InputError."""
        return sound_samples(data)

    def read(self, samples: Sequence[Sample]) -> Batch:
        """Return waveforms (samples, time), or (samples, channels, time).

        Raises InputError for another rate than the model's, or several lengths.
        """
        sounds = [read_sound(sample) for sample in samples]
        require_rate(sounds, self.rate)
        shapes = {sound.wave.shape for sound in sounds}
        if len(shapes) > 1:
            told = " and ".join(map(str, sorted(shapes)[:2]))
            raise InputError(f"the sounds have shapes {told}: {ONE_BY_ONE}")
        wave = torch.from_numpy(np.stack([sound.wave for sound in sounds]))
        rate = self.rate or next((s.rate for s in sounds if s.rate), None)
        return Batch(
            inputs=(wave,),
            sources={THE_SOURCE: label_series(wave.dim(), rate)},
            samples=names_of(samples),
            truth=truth_of(samples),
        )


def label_series(dimensions: int, rate: float | None) -> SourceLabels:
    """Return labels of series (samples, time) or (samples, channels, time)."""
    axes = (Axis.BATCH, Axis.TIME) if dimensions == 2 else (Axis.BATCH, Axis.CHANNEL, Axis.TIME)
    return SourceLabels(axes=axes, rate=rate)
