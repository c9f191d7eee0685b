"""Presets on nets of five structures, judged by setting pixels to two fills, with intervals.

    python -m benchmarks.structures [--count 300] [--nets CNN MLP]

ABPC as in `benchmarks/classifiers.py`: the mean over the steps of logit(least relevant first) -
logit(most relevant first); higher is better. Two fills, zero and the mean training image, are
averaged. The preset is chosen on the first half of the held-out digits; figures of the other half
are shown, with 95 % bootstrap intervals of the mean over images of the difference to integrated
gradients of 50 points. Nets are trained here, three times each from other seeds.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

import lrp_engine as lrp
from lrp_engine import Engine
from lrp_engine.demo import digits_test_split
from lrp_engine.demo.digits import digits_train_split

from .classifiers import VisionTransformer, abpc, integrated_gradients, logits, residual, train

LEFT_OUT = {"relp", "relp_ah", "epsilon_gamma_box"}  # for circuits; needs the range of the pixels
SEEDS, DRAWS = (0, 1, 2), 2000


class Recurrent(nn.Module):
    """A recurrent layer over the rows of a digit, behind a convolution or not."""

    def __init__(self, layer: type[nn.LSTM | nn.GRU], channels: int = 0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, channels, 3, padding=1) if channels else nn.Identity()
        self.layer = layer(8 * max(channels, 1), 48, batch_first=True)
        self.head = nn.Linear(48, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits, (batch, 10), of images, (batch, 1, 8, 8)."""
        h = self.conv(x)
        h = h.relu() if isinstance(self.conv, nn.Conv2d) else h
        states, _ = self.layer(h.permute(0, 2, 1, 3).flatten(2))
        return self.head(states[:, -1])


def plain_convolutions() -> nn.Module:
    """Four convolutions and two dense layers, as VGG has them."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(),
        nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip


def dense() -> nn.Module:
    """Three dense layers."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, 96), nn.ReLU(), nn.Linear(96, 96), nn.ReLU(), nn.Linear(96, 10)
    )


NETS: dict[str, tuple[Callable[[], nn.Module], int]] = {  # with epochs
    "CNN": (plain_convolutions, 15),
    "ResNet": (residual, 15),
    "ViT": (VisionTransformer, 30),
    "LSTM": (lambda: Recurrent(nn.LSTM), 20),
    "convolution + GRU": (lambda: Recurrent(nn.GRU, 8), 20),
    "MLP": (dense, 15),
}


def presets() -> list[str]:
    """All presets of one run that need no parameter."""
    names = [name for name in lrp.presets() if name not in LEFT_OUT]
    return [name for name in names if lrp.load_preset(name).runs == 1]


def judge(model: nn.Module, x: Tensor, target: Tensor, relevance: Tensor) -> Tensor:
    """ABPC of every image, the mean of both fills."""
    mean = digits_train_split()[0].mean(0)
    fills = (torch.zeros_like(mean), mean)
    return torch.stack([abpc(model, x, target, relevance, to) for to in fills]).mean(0)


def scores_of(model: nn.Module, x: Tensor, target: Tensor) -> dict[str, Tensor]:
    """ABPC of every image, by method."""
    engine, found = Engine(model, x[:2], preset="gradient"), {}
    for name in presets():
        explanation = engine.with_preset(name).explain(x, target.tolist())
        found[name] = next(iter(explanation.relevance.values()))
    gradients = integrated_gradients(model)
    mean = digits_train_split()[0].mean(0)
    found["IG 50, from 0"] = gradients(x, target, torch.zeros_like(mean))
    found["IG 50, from the mean"] = gradients(x, target, mean)
    found["random"] = torch.rand_like(x)
    return {name: judge(model, x, target, r) for name, r in found.items()}


def interval(differences: Tensor) -> tuple[float, float]:
    """The 95 % bootstrap interval of a mean."""
    draws = torch.randint(len(differences), (DRAWS, len(differences)))
    low, high = differences[draws].mean(1).quantile(torch.tensor([0.025, 0.975])).tolist()
    return low, high


def table(name: str, build: Callable[[], nn.Module], epochs: int, count: int) -> None:
    """Print one net's table, the methods in the order of the first half."""
    chosen: dict[str, list[Tensor]] = {}
    confirmed: dict[str, list[Tensor]] = {}
    right = []
    images, labels = digits_test_split()
    x = images[: 2 * count]
    for seed in SEEDS:
        torch.manual_seed(seed)
        model = train(build(), epochs).requires_grad_(False)
        with torch.no_grad():
            target = model(x).argmax(1)
        right.append(float((target == labels[: 2 * count]).float().mean()))
        for method, areas in scores_of(model, x, target).items():
            areas = areas / logits(model, x, target).mean()
            chosen.setdefault(method, []).append(areas[: len(x) // 2])
            confirmed.setdefault(method, []).append(areas[len(x) // 2 :])
    first = {k: torch.cat(v) for k, v in chosen.items()}
    second = {k: torch.cat(v) for k, v in confirmed.items()}
    best_ig = max((k for k in first if k.startswith("IG")), key=lambda k: float(first[k].mean()))
    print(f"\n{name}, {min(right):.1%} to {max(right):.1%} right; compared with {best_ig}:\n")
    print("| method | first half | second half | over IG, second half |")
    print("|---|---|---|---|")
    for method in sorted(first, key=lambda k: -float(first[k].mean())):
        low, high = interval(second[method] - second[best_ig])
        figures = f"{first[method].mean():.3f} | {second[method].mean():.3f}"
        print(f"| {method} | {figures} | {low:+.3f} to {high:+.3f} |", flush=True)


def main() -> None:
    """Print a table per net."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=150, help="images in each half")
    parser.add_argument("--nets", nargs="*", default=list(NETS))
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    for name in args.nets:
        table(name, *NETS[name], args.count)


if __name__ == "__main__":
    main()
