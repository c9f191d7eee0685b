"""What the presets for image models cost beside the plain input gradient, float32, batch 1, CPU.

    python -m benchmarks.presets [--rounds N]

Where zennit is installed (`pip install zennit`; its wheel needs torchvision), its composite of the
same name runs in the same rounds.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

import lrp_engine as lrp

from .published import resnet50, vgg
from .timing import alternate

CLASS = 7
PRESETS = ("gradient", "epsilon", "epsilon_plus", "epsilon_alpha2_beta1", "epsilon_gamma_box")


def plain(model: nn.Module, x: torch.Tensor) -> Callable[[], Any]:
    """Forward and input gradient of one logit."""

    def run() -> torch.Tensor:
        leaf = x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(_logits(model(leaf))[:, CLASS].sum(), leaf)
        return gradient * x

    return run


def engine(model: nn.Module, x: torch.Tensor, preset: str) -> Callable[[], Any]:
    """A whole explanation."""
    given = {"low": -3.0, "high": 3.0} if preset.endswith("box") else {}
    ready = lrp.Engine(model, x, preset=lrp.load_preset(preset, **given))
    return lambda: ready.explain(x, CLASS)


def zennit(model: nn.Module, x: torch.Tensor, preset: str) -> Callable[[], Any] | None:
    """The same by zennit, if it is there and has such a composite."""
    with contextlib.suppress(ImportError):
        from zennit.attribution import Gradient
        from zennit.composites import COMPOSITES

        if preset not in COMPOSITES:
            return None
        low, high = torch.full_like(x, -3.0), torch.full_like(x, 3.0)
        composite = COMPOSITES[preset](**({"low": low, "high": high} if "box" in preset else {}))
        seed = torch.zeros(1, _logits(model(x)).shape[1])
        seed[0, CLASS] = 1.0

        def run() -> Any:
            with Gradient(model, composite) as attributor:
                return attributor(x, seed)

        return run
    return None


def _logits(output: Any) -> torch.Tensor:
    return output if isinstance(output, torch.Tensor) else output.logits


def main() -> None:
    """Prints one table per model."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    for name, make in {"VGG16, 224 px": vgg, "ResNet-50, 224 px": resnet50}.items():
        torch.manual_seed(0)
        model, inputs = make()
        model.eval().requires_grad_(False)
        (x,) = inputs.values()
        runs = {"plain input gradient": plain(model, x)}
        for preset in PRESETS:
            runs[preset] = engine(model, x, preset)
            other = zennit(model, x, preset)
            if other is not None:
                runs[f"zennit {preset}"] = other
        found = alternate(runs, rounds=options.rounds, warm_up=1)
        base = found["plain input gradient"].median
        for way, timing in found.items():
            print(f"| {name} | {way} | {timing} | {timing.median / base:.2f} |", flush=True)


if __name__ == "__main__":
    main()
