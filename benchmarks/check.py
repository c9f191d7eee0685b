"""What a check costs beside the explanation itself: ViT-B-shaped, 32 images, one class each.

    python -m benchmarks.check [--device cuda] [--images N] [--rounds N]

"explanation": forward pass, relevance at the pixels, checks of inputs and outputs. "with ledger":
the sums of every op's account in the same pass. "check": all checks of `lrp check`, with budgets
and a golden result. Set-up, which happens once, is timed apart. Runs alternate in one process.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import lrp_engine as lrp
from lrp_engine import checks
from lrp_engine.checks.evidence import Given, gather

from .models import vit_base
from .timing import alternate


def golden_of(engine: lrp.Engine, images: Any, classes: list[int]) -> checks.Golden:
    """A golden result, written and read again."""
    evidence = gather(engine, [Given(images, classes)])
    ledger = evidence.ledger()
    assert ledger is not None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vit"
        checks.Golden.of(engine, evidence.kept, ledger).save(path)
        golden = checks.Golden.load(path)
    assert golden is not None
    return golden


def main() -> None:
    """Measures and prints a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--preset", default="attnlrp")
    options = parser.parse_args()
    torch.manual_seed(0)
    model, _ = vit_base()
    model = model.eval().requires_grad_(False).to(options.device)
    images = {"pixel_values": torch.randn(options.images, 3, 224, 224, device=options.device)}
    classes = [i % 1000 for i in range(options.images)]
    start = time.perf_counter()
    engine = lrp.Engine(model, images, preset=options.preset)
    engine.explain(images, classes)
    plain = time.perf_counter() - start
    golden = golden_of(engine, images, classes)
    print(
        f"set-up and first run {plain:.1f} s, with the ledger's programs"
        f" {time.perf_counter() - start:.1f} s"
    )
    budget = checks.Budget(absorbed={"bias": 1e9}, amplification=1e9, relative_error=0.1)

    def check() -> None:
        report = checks.check(engine, images, classes, budget=budget, golden=golden)
        assert report.ok, report.text()

    runs: dict[str, Callable[[], Any]] = {
        "explanation": lambda: engine.explain(images, classes),
        "with ledger": lambda: engine.explain(images, classes, ledger=True),
        "check": check,
    }
    times = alternate(runs, options.rounds, warm_up=1)
    base = times["explanation"].median
    for name, timing in times.items():
        print(f"{name:14s} {timing!s:30s} ms {timing.median / base:.2f}x", flush=True)


if __name__ == "__main__":
    main()
