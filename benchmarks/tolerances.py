"""The figures of docs/tolerances.md: residuals by dtype and scale, and what other checks say.

python -m benchmarks.tolerances
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

import lrp_engine as lrp
from lrp_engine.demo import digits_test_split, load_digits_net

DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
SCALES = (1e-6, 1.0, 1e6, 1e9)


class Scaled(nn.Module):
    """The same classifier in another unit of its logits."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.net, self.scale = load_digits_net(), scale

    def forward(self, images: Tensor) -> Tensor:
        return self.scale * self.net(images)


def by_dtype(images: Tensor, labels: Tensor) -> None:
    """Residuals in every dtype."""
    for dtype in DTYPES:
        engine = lrp.Engine(load_digits_net().to(dtype), images[:20].to(dtype), preset="epsilon")
        ledger = engine.explain(images.to(dtype), labels, ledger=True).ledger
        assert ledger.worst is not None
        print(
            f"{dtype}: explained {ledger.explained:.5g}, absolute {abs(ledger.residual):.1e},"
            f" worst op {ledger.worst.error:.1e}, tolerance {ledger.tolerance:.0e}"
        )


def by_scale(images: Tensor, labels: Tensor) -> None:
    """Residuals of one model in several units."""
    for scale in SCALES:
        engine = lrp.Engine(Scaled(scale).eval(), images[:20], preset="epsilon")
        ledger = engine.explain(images, labels, ledger=True).ledger
        assert ledger.worst is not None
        print(
            f"logits x {scale:.0e}: absolute {abs(ledger.residual):.1e},"
            f" worst op {ledger.worst.error:.1e}"
        )


def of_a_contrast(images: Tensor) -> None:
    """The two classes of one image that are closest: a small number made of large relevance."""
    engine = lrp.Engine(load_digits_net(), images[:20], preset="epsilon")
    logits = engine.explain(images, 0).output
    best = logits.topk(2)
    closest = int((best.values[:, 0] - best.values[:, 1]).argmin())
    first, second = best.indices[closest].tolist()
    target = {first: 1.0, second: -1.0}
    ledger = engine.explain(images[closest : closest + 1], target, ledger=True).ledger
    print(
        f"contrast: explained {ledger.explained:.3g}, sum of |R| {ledger.size:.3g}, residual"
        f" {abs(ledger.residual / ledger.explained):.1e} of the explained number,"
        f" {abs(ledger.residual) / ledger.size:.1e} of the sum of |R|"
    )


def by_equality(images: Tensor) -> None:
    """How many of 256 exactly complete attributions an `==` lets pass."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = [nn.Linear(64, 32, bias=False), nn.ReLU(), nn.Linear(32, 10, bias=False)]
        model = nn.Sequential(nn.Flatten(), *layers).eval()
    explanation = lrp.Engine(model, images[:20]).explain(images[:256], 3)
    relevance = next(iter(explanation.relevance.values())).flatten(1)
    wanted = explanation.explained.float()
    normalised = relevance / relevance.abs().amax(1, keepdim=True)
    error = (relevance.double().sum(1) - explanation.explained).abs()
    relative = error / relevance.double().abs().sum(1)
    print(
        f"==: {float((relevance.sum(1) == wanted).float().mean()):.0%} pass, normalised by the"
        f" maximum {float((normalised.sum(1) == wanted).float().mean()):.0%}; the true error is"
        f" {float(relative.max()):.1e} at most"
    )


def main() -> None:
    """Prints all figures."""
    images, labels = digits_test_split()
    by_dtype(images[:64], labels[:64])
    by_scale(images[:64], labels[:64])
    of_a_contrast(images[:64])
    by_equality(images)


if __name__ == "__main__":
    main()
