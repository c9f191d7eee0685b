"""Explanations of digits against a baseline, judged by setting pixels to a baseline.

    pip install captum
    python -m benchmarks.classifiers [--count 150]

ABPC, the area between perturbation curves: pixels are set to a value, 4 at a time, most relevant
first and least relevant first; the mean over the steps of logit(least first) - logit(most first).
Higher is better. Every method that has a baseline is run with a baseline of zeros and with one of
the mean training image, and judged by perturbing to either: matched where both are the same.
The nets: the demo's, and a small residual net with batch norm and a vision transformer that are
trained here (under a minute each on a CPU).
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lrp_engine import Engine
from lrp_engine.demo import digits_test_split, load_digits_net
from lrp_engine.demo.digits import digits_train_split
from tests.parity.nets import Block, Plus

PRESETS = ("gradient", "epsilon", "epsilon_plus", "attnlrp", "attnlrp_gamma")
STEP, IG_STEPS = 4, 50
Explain = Callable[[Tensor, Tensor, Tensor], Tensor]


class VisionTransformer(nn.Module):
    """16 patches of 2 x 2 pixels, two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(1, 32, 2, 2)
        self.places = nn.Parameter(0.1 * torch.randn(1, 16, 32))
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                32, 4, 64, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
            )
            for _ in range(2)
        )
        self.norm, self.head = nn.LayerNorm(32), nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits, (batch, 10), of images, (batch, 1, 8, 8)."""
        h = self.patch(x).flatten(2).transpose(1, 2) + self.places
        for layer in self.layers:
            h = layer(h)
        return self.head(self.norm(h).mean(1))


def residual() -> nn.Module:
    """Two residual blocks with batch norm."""
    return nn.Sequential(
        Block(1, 16, 1, Plus), Block(16, 32, 2, Plus), nn.AvgPool2d(4), nn.Flatten(),
        nn.Linear(32, 10),
    )  # fmt: skip


def train(model: nn.Module, epochs: int) -> nn.Module:
    """Fit a net to the training digits, with a little noise."""
    images, labels = digits_train_split()
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-2)
    steps = epochs * -(-len(labels) // 64)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps)
    for _ in range(epochs):
        for batch in torch.randperm(len(labels)).split(64):
            optimiser.zero_grad()
            noisy = images[batch] + 0.1 * torch.randn_like(images[batch])
            cross_entropy(model(noisy), labels[batch]).backward()
            optimiser.step()
            schedule.step()
    return model.eval()


NETS: dict[str, Callable[[], nn.Module]] = {
    "CNN": load_digits_net,
    "ResNet": lambda: train(residual(), 15),
    "ViT": lambda: train(VisionTransformer(), 30),
}


def with_presets(model: nn.Module, x: Tensor) -> dict[str, Explain]:
    """Relevance under presets of one run (the baseline is not used), and under delta."""
    engine = Engine(model, x[:2], preset="gradient")

    def of(name: str) -> Explain:
        one = engine.with_preset(name)
        return lambda x, target, _: next(iter(one.explain(x, target.tolist()).relevance.values()))

    delta = engine.with_preset("delta")

    def explain_delta(x: Tensor, target: Tensor, baseline: Tensor) -> Tensor:
        found = delta.explain(x, target.tolist(), reference=baseline[None])
        return next(iter(found.relevance.values()))

    return {name: of(name) for name in PRESETS} | {"delta": explain_delta}


def integrated_gradients(model: nn.Module) -> Explain:
    """IG, 50 midpoints."""

    def run(x: Tensor, target: Tensor, baseline: Tensor) -> Tensor:
        total = torch.zeros_like(x)
        for i in range(IG_STEPS):
            at = torch.lerp(baseline.expand_as(x), x, (i + 0.5) / IG_STEPS).requires_grad_()
            logit = model(at).gather(1, target[:, None]).sum()
            total += torch.autograd.grad(logit, at)[0] / IG_STEPS
        return total * (x - baseline)

    return run


def occlusion(model: nn.Module) -> Explain:
    """What the logit loses when one pixel is set to the baseline."""

    def run(x: Tensor, target: Tensor, baseline: Tensor) -> Tensor:
        found, whole = torch.zeros_like(x).flatten(1), logits(model, x, target)
        other = baseline.expand_as(x).flatten(1)
        for i in range(found.shape[1]):
            changed = x.flatten(1).clone()
            changed[:, i] = other[:, i]
            found[:, i] = whole - logits(model, changed.view_as(x), target)
        return found.view_as(x)

    return run


def deep_lift(model: nn.Module) -> Explain:
    """captum's DeepLift."""
    from captum.attr import DeepLift

    tool = DeepLift(model)

    def run(x: Tensor, target: Tensor, baseline: Tensor) -> Tensor:
        return tool.attribute(x, baseline[None], target=target.tolist()).detach()

    return run


def logits(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    """The explained logit of every image."""
    with torch.no_grad():
        return model(x).gather(1, target[:, None])[:, 0]


def abpc(model: nn.Module, x: Tensor, target: Tensor, relevance: Tensor, to: Tensor) -> Tensor:
    """The area between the curves, per image."""
    order, other = relevance.flatten(1).argsort(1), to.expand_as(x).flatten(1)
    found = []
    for count in range(STEP, order.shape[1] + 1, STEP):
        curves = []
        for places in (order[:, :count], order[:, -count:]):  # least, most relevant first
            changed = x.flatten(1).clone()
            changed.scatter_(1, places, other.gather(1, places))
            curves.append(logits(model, changed.view_as(x), target))
        found.append(curves[0] - curves[1])
    return torch.stack(found).mean(0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=150)
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    images, labels = digits_test_split()
    mean = digits_train_split()[0].mean(0)
    baselines = {"0": torch.zeros_like(mean), "mean": mean}
    x = images[: args.count]
    for name, build in NETS.items():
        torch.manual_seed(0)
        model = build()
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        with torch.no_grad():
            target, accuracy = (
                model(x).argmax(1),
                (model(images).argmax(1) == labels).float().mean(),
            )
        methods = with_presets(model, x) | {
            "integrated gradients, 50 points": integrated_gradients(model),
            "occlusion of one pixel": occlusion(model),
            "captum DeepLift": deep_lift(model),
        }
        print(f"\n{name}, {accuracy:.1%} right:\n")
        print("| method | baseline 0, set to 0 | 0, to mean | mean, to mean | mean, to 0 |")
        print("|---|---|---|---|---|")
        for kind, explain in methods.items():
            cells = []
            for own, to in (("0", "0"), ("0", "mean"), ("mean", "mean"), ("mean", "0")):
                relevance = explain(x, target, baselines[own])
                areas = abpc(model, x, target, relevance, baselines[to])
                cells.append(f"{areas.mean():.2f}")
            print(f"| {kind} | " + " | ".join(cells) + " |", flush=True)
        areas = abpc(model, x, target, torch.rand_like(x), baselines["0"])
        print(
            f"\nRandom order, to 0: {areas.mean():.2f}; one standard error of a mean is about"
            f" {abpc(model, x, target, relevance, mean).std() / len(x) ** 0.5:.2f}"
        )


if __name__ == "__main__":
    main()
