"""Notes in a recording: basic-pitch, which writes music down."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from ...results.explanation import Explanation
from ..exhibit import DATA, MODELS, Case, Credit, Deletion, Exhibit
from ..sounds import Sound, pluck_in_turn, read_sound
from ..telling import arranged, asked

FOLDER: Path = MODELS / "basic_pitch"
RATE, SAMPLES, HOP = 22050, 43844, 256
LOWEST, BINS, PER_OCTAVE = 27.5, 309, 36  # of the constant-Q transform that the model begins with
A3, E4, G_SHARP_3 = 36, 43, 35  # of the 88 keys of a piano

# The model's own names: the normalised transform, and the logits of the notes.
_READ = "conv2d_3/BiasAdd/ReadVariableOp"
SPECTRUM = "model_1/normalized_log_1/div_no_nan;model_1/normalized_log_1/div_no_nan3"
LOGITS: str = ";".join(
    f"model_1/{part}"
    for part in ("conv2d_3/BiasAdd", "conv2d_5/Conv2D", "conv2d_3/Conv2D", _READ)
    for _ in range(2)
)


def frequencies() -> list[float]:
    """Return the frequency of each bin, in Hz."""
    return [LOWEST * 2 ** (i / PER_OCTAVE) for i in range(BINS)]


def _case(name: str, sound: Sound, key: int, seconds: float) -> Case:
    """Return a case that asks for one key of the piano at one time."""

    def ask(logits: Tensor) -> Tensor:
        """Take the logits, (1, 1, time, keys)."""
        coefficient = torch.zeros_like(logits)
        coefficient[0, 0, round(seconds * RATE / HOP), key] = 1
        return coefficient

    return Case(name, torch.from_numpy(sound)[None, :, None], ask, _tell(name, seconds))


def _tell(name: str, seconds: float) -> Callable[[Explanation, Tensor], Explanation]:
    def tell(explanation: Explanation, held: Tensor) -> Explanation:
        found = arranged(explanation, _upright, "spectrogram").with_labels(
            axes="batch frequency time",
            rate=RATE / HOP,
            frequencies=frequencies(),
            data=_upright(held),
            unit="logit",
        )
        return asked(found, f"{name}, at {seconds} s")

    return tell


def _upright(spectrum: Tensor) -> Tensor:
    """Return a spectrum (1, time, frequency, 1) as (1, frequency, time)."""
    return spectrum.reshape(1, -1, BINS).transpose(1, 2)


def make_cases(files: Sequence[Path]) -> list[Case]:
    """Return two questions about one chord, and one about a voice."""
    chord = pluck_in_turn([220.0, 329.63], SAMPLES, RATE)
    sung = read_sound(DATA / "sung.wav")
    return [
        _case("A3 of a chord of A3 and E4", chord, A3, 1.5),
        _case("E4 of the same chord", chord, E4, 1.5),
        _case("G#3 in a sung phrase", sung, G_SHARP_3, 0.54),
    ]


NOTES: Exhibit = Exhibit(
    name="notes",
    title="Which tones make a note?",
    about=(
        "basic-pitch hears notes in recordings. A note is a fundamental and its harmonics: asked"
        " for one note of a chord, relevance lies on the harmonics of that note, and not on those"
        " of the other. The chord is plucked by a script, the phrase is sung."
    ),
    model=lambda: FOLDER / "nmp.onnx",
    output=LOGITS,
    source=SPECTRUM,
    preset="epsilon_plus",
    cases=make_cases,
    deletion=Deletion(
        what="cells of the spectrogram",
        shares=(0.001, 0.01),
        score=lambda logits, coefficient: float((logits * coefficient).sum()),
        rival="epsilon",
        loudest=True,
    ),
    credits=(
        Credit(
            "basic-pitch 0.4.0 (nmp.onnx)",
            "Copyright 2022 Spotify AB",
            "Apache-2.0",
            (FOLDER / "LICENSE", FOLDER / "NOTICE"),
            "https://github.com/spotify/basic-pitch",
        ),
        Credit(
            "sung phrase: two seconds of vocadito_10",
            "Vocadito, by Rachel Bittner and others",
            "CC BY 4.0, cut, resampled and scaled",
            (),
            "https://zenodo.org/records/5578807",
        ),
    ),
)
