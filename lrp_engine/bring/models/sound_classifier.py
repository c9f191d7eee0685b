"""Open classifiers of sound of transformers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from ...boundary.user_code import calling
from ...errors import InputError
from ...show.axes import Axis
from ...show.labels import SourceLabels
from ..batch import THE_SOURCE, Batch, Sample, names_of, truth_of
from ..data.sound import ONE_BY_ONE, read_sound, require_rate, sound_samples
from ..hints import Hints
from ..opened import OpenedModel
from ..readers.sound_reader import SoundReader, label_series
from .hf_parts import HfParts
from .hf_texts import always


@dataclass(frozen=True)
class FeatureReader:
    """Reads sound by a feature extractor of transformers, at its rate."""

    takes: ClassVar[tuple[str, ...]] = ()
    what: ClassVar[str] = "sound"

    extractor: Any
    input_name: str

    def samples(self, data: Any) -> Sequence[Sample]:
        """Return one sample per sound; files are not read yet. Raises InputError."""
        return sound_samples(data)

    def read(self, samples: Sequence[Sample]) -> Batch:
        """Return what the model takes: waveforms, or spectrograms (samples, time, frequencies).

        Raises InputError for another rate than the model's, or sound of several channels.
        """
        rate = float(self.extractor.sampling_rate)
        sounds = [read_sound(sample) for sample in samples]
        require_rate(sounds, rate)
        if any(sound.wave.ndim != 1 for sound in sounds):
            raise InputError("the model takes sound of one channel: give the channels' mean")
        if len({len(sound.wave) for sound in sounds}) > 1:
            raise InputError(f"the sounds have several lengths: {ONE_BY_ONE}")
        with calling("the feature extractor"):
            waves = [sound.wave for sound in sounds]
            found = self.extractor(waves, sampling_rate=int(rate), return_tensors="pt")
        tensor: torch.Tensor = found[self.input_name]
        return Batch(
            inputs={self.input_name: tensor},
            sources={THE_SOURCE: _labels(tensor.dim(), rate)},
            samples=names_of(samples),
            truth=truth_of(samples),
        )


def _labels(dimensions: int, rate: float) -> SourceLabels:
    if dimensions == 2:
        return label_series(dimensions, rate)
    return SourceLabels(axes=(Axis.BATCH, Axis.TIME, Axis.FEATURE))


def open_parts(parts: HfParts, hints: Hints) -> OpenedModel:
    """Open a classifier of sound with its feature extractor; without one it takes waveforms."""
    names = parts.class_names(hints)
    if parts.processor is None:
        reader = SoundReader(hints.rate)
        return OpenedModel(parts.model, always(reader), names, unit="logit", takes=("classes",))
    features = FeatureReader(parts.processor, parts.input_name)
    rate = int(parts.processor.sampling_rate)
    second = (np.zeros(rate, dtype=np.float32), rate)
    return OpenedModel(
        parts.model, always(features), names, unit="logit", example=second, takes=("classes",)
    )
