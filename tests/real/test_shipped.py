"""Three small pretrained models, shipped with the demo or kept here, with licences, on sounds."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from lrp_engine.demo.exhibit import MODELS as SHIPPED
from lrp_engine.demo.exhibits.notes import LOGITS as NOTES
from lrp_engine.demo.exhibits.notes import SPECTRUM
from lrp_engine.demo.sounds import pluck

from .compare import explain_checked, load_compared
from .sounds import voice

MODELS = Path(__file__).parent / "models"
PROBABILITY = "output"
SPECTRA = "v352"  # logarithms of three spectrograms, which the first convolution reads
RANGE = {"fmin": np.float32(46.875), "fmax": np.float32(2093.75)}
A3 = 36  # of the 88 keys of a piano


def slow(value: str) -> object:
    return pytest.param(value, marks=pytest.mark.slow)


@cache
def spoken() -> dict[str, torch.Tensor]:
    frame = torch.from_numpy(voice(2.0)[4000:4576])
    return {"input": frame[None], "state": torch.zeros(2, 1, 128)}


@pytest.mark.parametrize("preset", ["attnlrp", slow("epsilon_plus")])
def test_voice_is_detected(preset: str) -> None:
    """The file branches on its sampling rate, which is a setting."""
    file = MODELS / "silero_vad/silero_vad.onnx"
    module = load_compared(file, spoken(), {"sr": 16000})
    found = explain_checked(module, spoken(), None, preset, output=PROBABILITY, dynamic=False)
    assert found.relevance["input"].shape == (1, 576)


def plucked() -> dict[str, torch.Tensor]:
    return {"audio": torch.from_numpy(pluck(220.0, 0.25, 16000))[None]}


def test_pitch_of_a_string() -> None:
    module = load_compared(MODELS / "swift_f0/model.onnx", plucked(), RANGE)
    with torch.no_grad():
        pitch = module(plucked()["audio"])["pitch"]
    assert abs(float(pitch[0, 5]) - 220) < 5


@pytest.mark.slow
def test_confidence_in_a_pitch() -> None:
    """Explained at the spectra: behind them, Fourier sums of the samples nearly cancel."""
    module = load_compared(MODELS / "swift_f0/model.onnx", plucked(), RANGE)
    options = {"output": "confidence", "sources": [SPECTRA], "dynamic": False}
    found = explain_checked(module, plucked(), {5: 1.0}, **options)
    assert found.relevance[SPECTRA].isfinite().all()


def test_harmonics_of_a_note() -> None:
    """Relevance of a note lies on its harmonics: from 27.5 Hz on, 36 bins are an octave."""
    sound = np.zeros(43844, np.float32)
    sound[:22050] = pluck(220.0, 1.0, 22050)
    inputs = {"serving_default_input_2:0": torch.from_numpy(sound)[None, :, None]}
    module = load_compared(SHIPPED / "basic_pitch/nmp.onnx", inputs)
    options = {"output": NOTES, "sources": [SPECTRUM], "dynamic": False}

    def score(scores: torch.Tensor) -> torch.Tensor:
        return scores[:, 0, 40, A3].sum()

    found = explain_checked(module, inputs, score, "epsilon_plus", **options)
    by_bin = found.relevance[SPECTRUM].clamp(min=0).sum(dim=(0, 1)).flatten()
    harmonics = [round(36 * np.log2(220 * n / 27.5)) for n in range(1, 7)]
    near = [b + shift for b in harmonics for shift in (-1, 0, 1)]
    share = float(by_bin[near].sum() / by_bin.sum())
    assert share > 3 * len(near) / len(by_bin)
