"""A face in a photograph: the last net of MTCNN, where facenet-pytorch is installed."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from ...boundary.arrays import read_pt
from ...boundary.media import read_image
from ...errors import InputError
from ...results.explanation import Explanation
from ...show.figure import Look, Overlay
from ...show.images import as_images
from ..exhibit import DATA, Case, Credit, Deletion, Exhibit
from ..face_net import FaceNet
from ..telling import asked

_SIDE, _PATCH = 48, 4


def load_face_net() -> FaceNet:
    """Return the net with the weights of the installed package, which is not imported.

    Raises:
        InputError: facenet-pytorch is not installed.
    """
    found = find_spec("facenet_pytorch")
    if found is None or not found.submodule_search_locations:
        raise InputError("the weights come with facenet-pytorch, which is not installed")
    file = Path(found.submodule_search_locations[0]) / "data" / "onet.pt"
    net = FaceNet()
    net.load_state_dict(read_pt(file))
    return net.eval()


def make_cases(files: Sequence[Path]) -> list[Case]:
    """Return the one question: what makes this a face?"""
    image = read_image(DATA / "astronaut.png").convert("RGB").resize((_SIDE, _SIDE), 2)
    (pixels,), _ = as_images(image, 1)
    inputs = (pixels[None] * 255 - 127.5) / 128
    return [Case("a face", inputs, _face_against_none, _tell, _patches, _grey)]


def _patches(relevance: Tensor) -> Tensor:
    """Return relevance per patch of 4 by 4 pixels, (1, 1, 12, 12)."""
    return avg_pool2d(relevance.sum(1, keepdim=True), _PATCH, divisor_override=1)


def _grey(held: Tensor, mask: Tensor) -> Tensor:
    """Return the image with some patches grey."""
    return held.masked_fill(interpolate(mask.float(), scale_factor=_PATCH) > 0, 0.0)


def _face_against_none(logits: Tensor) -> Tensor:
    return torch.tensor([[-1.0, 1.0]])


def _tell(explanation: Explanation, held: Tensor) -> Explanation:
    labelled = explanation.with_labels(
        axes="batch channel height width",
        images=(held * 128 + 127.5) / 255,
        class_names=["none", "face"],
        unit="logit",
    )
    return asked(labelled, '"face" rather than "none"')


FACE: Exhibit = Exhibit(
    name="face",
    title="What makes a face?",
    about=(
        "The last net of MTCNN says whether a crop of 48 by 48 pixels is a face. Relevance lies on"
        " eyes, nose and the corners of the mouth. Under epsilon alone the map is noise."
    ),
    model=load_face_net,
    output="dense6_1",
    source="images",
    preset="epsilon_plus_flat",
    cases=make_cases,
    deletion=Deletion(
        what="patches of 4 by 4 pixels",
        shares=(0.05, 0.28),
        score=lambda logits, c: float((logits * c).sum()),
        rival="epsilon",
        named="logit of face less none",
    ),
    credits=(
        Credit(
            "MTCNN (facenet-pytorch 2.6.0, onet.pt)",
            "code: Copyright (c) 2019 Timothy Esler, MIT",
            "the weights' licence is disputed: they are not shipped, and read where installed",
            (),
            "https://github.com/timesler/facenet-pytorch",
        ),
        Credit(
            "photograph: Eileen Collins", "NASA", "in the public domain", (), "https://www.nasa.gov"
        ),
    ),
    look=Look(overlay=Overlay.ALPHA, scale=0.02),
    needs={
        "facenet_pytorch": "pip install --no-deps facenet-pytorch==2.6.0",
        "PIL": "pip install pillow",
    },
)
