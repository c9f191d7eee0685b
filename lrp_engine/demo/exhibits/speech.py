"""Speech in a recording: silero-vad, which tells where somebody speaks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from ...results.explanation import Explanation
from ..exhibit import DATA, MODELS, Case, Credit, Deletion, Exhibit
from ..sounds import read_sound
from ..telling import arranged, asked

FOLDER: Path = MODELS / "silero_vad"
RATE, FRAME, CONTEXT, BINS = 16000, 512, 64, 129
_COLUMNS = 4  # of the short-time Fourier transform, per frame
_STATE: Tensor = torch.zeros(1, 1, 128)


def make_cases(files: Sequence[Path]) -> list[Case]:
    """Return the one question: why is there speech where the model finds it?"""
    sound = torch.from_numpy(read_sound(DATA / "ask_not.wav"))
    frames = sound.unfold(0, CONTEXT + FRAME, FRAME)
    inputs = {"input": frames, "h": _STATE, "c": _STATE}
    return [Case('speech in "ask … not"', inputs, _where_speech_is, _tell)]


def _where_speech_is(logits: Tensor) -> Tensor:
    """Return 1 for frames in which speech is likelier than not, else 0."""
    return (logits > 0).to(logits.dtype)


def _tell(explanation: Explanation, held: Tensor) -> Explanation:
    found = arranged(explanation, _in_a_row, "spectrogram").with_labels(
        axes="batch frequency time",
        rate=RATE * _COLUMNS / FRAME,
        frequencies=[RATE / 2 * i / (BINS - 1) for i in range(BINS)],
        data=_in_a_row(held),
        unit="sum of logits",
    )
    return asked(found, "speech, in all frames where it is found")


def _in_a_row(spectra: Tensor) -> Tensor:
    """Return spectra (frames, frequency, columns) behind one another, (1, frequency, time)."""
    return spectra.transpose(0, 1).reshape(1, BINS, -1)


SPEECH: Exhibit = Exhibit(
    name="speech",
    title="Which sounds are speech?",
    about=(
        "silero-vad finds speech in sound. Relevance lies on the formants, the dark bands of the"
        " voice, and leaves hiss and pauses out. The words are two of President Kennedy's: ask, a"
        " pause, not. The model is convolutions before an LSTM, which is what gamma_lstm is for."
    ),
    model=lambda: FOLDER / "silero_vad_16k_sequence.onnx",
    output="/output/Conv_output_0",
    source="/stft/Sqrt_output_0",
    preset="gamma_lstm",
    cases=make_cases,
    deletion=Deletion(
        what="cells of the spectrogram",
        shares=(0.01, 0.05),
        score=lambda logits, c: float((logits * c).sum() / c.sum()),
        rival="attnlrp",
        named="mean logit",
        loudest=True,
    ),
    credits=(
        Credit(
            "silero-vad 6.2.3 (silero_vad_16k_sequence.onnx)",
            "Copyright (c) 2020-present Silero Team",
            "MIT",
            (FOLDER / "LICENSE",),
            "https://github.com/snakers4/silero-vad",
        ),
        Credit(
            "recording: two seconds of the inaugural address of John F. Kennedy, 20 January 1961",
            "United States government",
            "in the public domain",
        ),
    ),
)
