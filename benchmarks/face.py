"""Presets on a pretrained face detector and a photograph: the last net of MTCNN, and the astronaut.

    pip install --no-deps facenet-pytorch==2.6.0 scikit-image==0.26.0
    python -m benchmarks.face

The licence of the weights is disputed, so that they stay in their package. "Near" is the share of
positive relevance within 5.5 pixels of the five points that the net itself finds (eyes, nose,
mouth), 20 % of the area. ABPC as in `benchmarks/structures.py`, on patches of 4 x 4 pixels set to
grey or to the mean colour, over the explained logit(face) - logit(no face).
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch
from torch import Tensor, nn

import lrp_engine as lrp

from .structures import LEFT_OUT

FACE = (166, 58, 282, 174)
TARGET = {1: 1.0, 0: -1.0}


class OutputNet(nn.Module):
    """MTCNN's third net: logits (batch, 2) of 48 x 48 pixels, and five points, x before y."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 32, 3), nn.PReLU(32)
        self.pool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv2, self.prelu2 = nn.Conv2d(32, 64, 3), nn.PReLU(64)
        self.pool2 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv3, self.prelu3 = nn.Conv2d(64, 64, 3), nn.PReLU(64)
        self.pool3 = nn.MaxPool2d(2, 2, ceil_mode=True)
        self.conv4, self.prelu4 = nn.Conv2d(64, 128, 2), nn.PReLU(128)
        self.dense5, self.prelu5 = nn.Linear(1152, 256), nn.PReLU(256)
        self.dense6_1, self.dense6_2, self.dense6_3 = (nn.Linear(256, n) for n in (2, 4, 10))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and points."""
        x = self.pool1(self.prelu1(self.conv1(x)))
        x = self.pool2(self.prelu2(self.conv2(x)))
        x = self.pool3(self.prelu3(self.conv3(x)))
        x = self.prelu4(self.conv4(x)).permute(0, 3, 2, 1).flatten(1)
        x = self.prelu5(self.dense5(x))
        return self.dense6_1(x), self.dense6_3(x)


def load_net() -> OutputNet:
    """Read the weights out of the installed package, without importing it."""
    spec = importlib.util.find_spec("facenet_pytorch")
    assert spec is not None
    assert spec.submodule_search_locations
    net = OutputNet()
    file = Path(spec.submodule_search_locations[0], "data", "onet.pt")
    net.load_state_dict(torch.load(file, weights_only=True))
    return net.requires_grad_(False).eval()


def load_face() -> Tensor:
    """Read the face of scikit-image's astronaut, (1, 3, 48, 48), scaled as the net wants it."""
    import numpy as np
    from PIL import Image
    from skimage import data

    face = Image.fromarray(data.astronaut()).crop(FACE).resize((48, 48), Image.Resampling.BILINEAR)
    return ((torch.tensor(np.array(face)).float() - 127.5) / 128).permute(2, 0, 1)[None]


def near_points(points: Tensor) -> Tensor:
    """Return which pixels lie within 5.5 of one of five points, (48, 48)."""
    x, y = points.view(2, 5) * 48
    places = torch.arange(48.0) + 0.5
    distance = (places[None, :, None] - x) ** 2 + (places[:, None, None] - y) ** 2
    return distance.min(-1).values <= 5.5**2


def abpc(net: OutputNet, x: Tensor, relevance: Tensor) -> float:
    """The area between the curves, over the explained number, the mean of two fills."""
    amounts = relevance.sum(1).reshape(12, 4, 12, 4).sum((1, 3)).flatten()
    order, found = amounts.argsort(), []
    for fill in (torch.zeros_like(x), x.mean((2, 3), keepdim=True)):
        for count in range(8, 145, 8):
            least, most = (
                contrast(net, torch.where(patches(places), fill, x))
                for places in (order[:count], order[-count:])
            )
            found.append(least - most)
    return float(torch.stack(found).mean() / contrast(net, x).mean())


def patches(places: Tensor) -> Tensor:
    """Return the pixels of patches, (48, 48)."""
    chosen = torch.zeros(144, dtype=torch.bool).scatter_(0, places, True)
    return chosen.view(12, 12).repeat_interleave(4, 0).repeat_interleave(4, 1)


def contrast(net: OutputNet, x: Tensor) -> Tensor:
    """Return logit(face) - logit(no face)."""
    scores, _ = net(x)
    return scores[:, 1] - scores[:, 0]


def integrated_gradients(net: OutputNet, x: Tensor) -> Tensor:
    """IG from grey, 50 midpoints."""
    total = torch.zeros_like(x)
    for i in range(50):
        at = (x * ((i + 0.5) / 50)).requires_grad_()
        total += torch.autograd.grad(contrast(net, at).sum(), at)[0] / 50
    return total * x


def relevance_by_method(net: OutputNet, x: Tensor) -> dict[str, Tensor]:
    """Return relevance (1, 3, 48, 48) by preset, and that of IG and of chance."""
    engine = lrp.Engine(net, x, preset="gradient")
    named = {name: name for name in lrp.presets() if name not in LEFT_OUT | {"delta"}}
    box = lrp.load_preset("epsilon_gamma_box", low=-1.0, high=1.0)
    found = {
        name: engine.with_preset(preset).explain(x, TARGET).relevance["input"]
        for name, preset in (named | {"epsilon_gamma_box": box}).items()
    }
    grey = torch.zeros_like(x)
    found["delta, from grey"] = (
        engine.with_preset("delta").explain(x, TARGET, reference=grey).relevance["input"]
    )
    return found | {"IG 50, from grey": integrated_gradients(net, x), "random": torch.randn_like(x)}


def main() -> None:
    """Print a table, the best first."""
    torch.manual_seed(0)
    net, x = load_net(), load_face()
    near = near_points(net(x)[1])
    rows = [
        (
            abpc(net, x, r),
            float(r.sum(1)[0].clamp(min=0)[near].sum() / r.sum(1).clamp(min=0).sum()),
            name,
        )
        for name, r in relevance_by_method(net, x).items()
    ]
    print(f"logit(face) - logit(no face) {float(contrast(net, x)):.2f}\n")
    print("| method | near | ABPC |\n|---|---|---|")
    for area, share, name in sorted(rows, reverse=True):
        print(f"| {name} | {share:.2f} | {area:.3f} |")


if __name__ == "__main__":
    main()
