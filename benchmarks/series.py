"""Presets on convolutions over time, judged by the channel and the time where the answer is.

    python -m benchmarks.series [--count 200]

Series of three channels of noise, (batch, 3, 256). In one channel, some 48 steps are added of an
oscillation, whose frequency is the class: so it is known which entries the answer rests on. Two
kinds of nets are trained here, three times each from other seeds. `inside`: the share of positive
relevance in that channel at those steps (3/16 of a channel's, 1/16 of all entries'). `channel`:
how often the channel with most relevance is that one. The preset is chosen on the first half of
the series; figures of the other half are shown, with 95 % bootstrap intervals of the mean over
series of `inside`, as the difference to integrated gradients of 50 points from zero.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

from lrp_engine import Engine

from .classifiers import integrated_gradients
from .structures import SEEDS, interval, presets

CHANNELS, STEPS, LASTS = 3, 256, 48
PERIODS = (6, 9, 14)  # of the classes, in steps
IG = "IG 50, from 0"


def draw(count: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return series, classes, and where the oscillation is: ones of the shape of the series."""
    g = torch.Generator().manual_seed(seed)
    label, channel = (torch.randint(n, (count,), generator=g) for n in (len(PERIODS), CHANNELS))
    start = torch.randint(STEPS - LASTS, (count,), generator=g)[:, None]
    time = torch.arange(STEPS)
    during = (time >= start) & (time < start + LASTS)
    phase = 6.3 * torch.rand(count, 1, generator=g)
    wave = torch.sin(2 * torch.pi * time / torch.tensor(PERIODS)[label][:, None] + phase) * during
    here = nn.functional.one_hot(channel, CHANNELS)[..., None]
    noise = torch.randn(count, CHANNELS, STEPS, generator=g)
    return noise + 1.5 * wave[:, None] * here, label, (during[:, None] * here).float()


def stacked() -> nn.Module:
    """Three convolutions with batch norms, the mean over time, one dense layer."""
    return nn.Sequential(
        nn.Conv1d(CHANNELS, 16, 15, padding=7), nn.BatchNorm1d(16), nn.ReLU(), nn.MaxPool1d(2),
        nn.Conv1d(16, 16, 9, padding=4), nn.BatchNorm1d(16), nn.ReLU(), nn.MaxPool1d(2),
        nn.Conv1d(16, 16, 5, padding=2), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(),
        nn.Linear(16, len(PERIODS)),
    )  # fmt: skip


class Residual(nn.Module):
    """A convolution, residual blocks, the largest over time, one dense layer."""

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.stem = nn.Conv1d(CHANNELS, 16, 11, padding=5)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv1d(16, 16, 7, padding=3), nn.ReLU(), nn.Conv1d(16, 16, 7, padding=3)
            )
            for _ in range(blocks)
        )
        self.head = nn.Linear(16, len(PERIODS))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits, (batch, class), of series, (batch, channel, step)."""
        h = self.stem(x).relu()
        for block in self.blocks:
            h = (h + block(h)).relu()
        return self.head(h.amax(2))


NETS: dict[str, Callable[[], nn.Module]] = {
    "stacked": stacked,
    "residual": lambda: Residual(2),
    "deep residual": lambda: Residual(6),
}


def train(model: nn.Module, seed: int, steps: int = 400) -> nn.Module:
    """Train on fresh series, and return the model in eval mode."""
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    for step in range(steps):
        x, label, _ = draw(64, 10_000 * (seed + 1) + step)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), label).backward()
        optimizer.step()
    return model.eval().requires_grad_(False)


def maps_of(model: nn.Module, x: Tensor, target: Tensor) -> dict[str, Tensor]:
    """Return relevance of every entry, by method."""
    engine, found = Engine(model, x[:2], preset="gradient"), {}
    for name in presets():
        explanation = engine.with_preset(name).explain(x, target.tolist())
        found[name] = next(iter(explanation.relevance.values()))
    found[IG] = integrated_gradients(model)(x, target, torch.zeros_like(x[0]))
    found["random"] = torch.randn_like(x)
    return found


def table(name: str, count: int) -> None:
    """Print one kind of net's table, the methods in the order of the first half."""
    inside: dict[str, list[Tensor]] = {}
    channel: dict[str, list[Tensor]] = {}
    right = []
    for seed in SEEDS:
        torch.manual_seed(seed)
        model = train(NETS[name](), seed)
        x, label, truth = draw(2 * count, seed)
        target = model(x).argmax(1)
        right.append(float((target == label).float().mean()))
        for method, relevance in maps_of(model, x, target).items():
            positive = relevance.clamp(min=0)
            share = (positive * truth).sum((1, 2)) / positive.sum((1, 2)).clamp_min(1e-30)
            inside.setdefault(method, []).append(share)
            hit = relevance.sum(2).argmax(1) == truth.sum(2).argmax(1)
            channel.setdefault(method, []).append(hit.float())
    print(f"\n{name}, {min(right):.1%} to {max(right):.1%} right:\n")
    print("| method | inside, first half | inside, second | over IG, second | channel, second |")
    print("|---|---|---|---|---|")
    first, second = ({k: halves(v, i) for k, v in inside.items()} for i in (0, 1))
    for method in sorted(first, key=lambda k: -float(first[k].mean())):
        low, high = interval(second[method] - second[IG])
        figures = f"{first[method].mean():.3f} | {second[method].mean():.3f}"
        hits = float(halves(channel[method], 1).mean())
        print(f"| {method} | {figures} | {low:+.3f} to {high:+.3f} | {hits:.1%} |", flush=True)


def halves(figures: list[Tensor], half: int) -> Tensor:
    """Join one half of the figures of every seed."""
    return torch.cat([f.chunk(2)[half] for f in figures])


def main() -> None:
    """Print a table per kind of net."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200, help="series in each half")
    parser.add_argument("--nets", nargs="*", default=list(NETS))
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    for name in args.nets:
        table(name, args.count)


if __name__ == "__main__":
    main()
