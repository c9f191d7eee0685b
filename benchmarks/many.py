"""k targets after one forward pass: one after the other, and together.

    python -m benchmarks.many

GPT-2 small, 64 tokens, float32, on the GPU if there is one. Ratios to k single explanations.
"""

from __future__ import annotations

import torch

import lrp_engine as lrp

from .models import gpt2_small, vit_base
from .timing import alternate


def main() -> None:
    """Prints one line per model, device and k."""
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    for device in devices:
        for make in (lambda: gpt2_small(64), vit_base):
            model, inputs = make()
            model = model.to(device).eval().requires_grad_(False)
            inputs = {name: tensor.to(device) for name, tensor in inputs.items()}
            place = -1 if "input_ids" in inputs else None
            engine = lrp.Engine(model, inputs)
            for k in (4, 16) if device == "cpu" else (4, 16, 64):
                _compare(engine, inputs, list(range(k)), place, device)


def _compare(
    engine: lrp.Engine, inputs: object, targets: list[int], place: int | None, device: str
) -> None:
    runs = {
        "single": lambda: [engine.explain(inputs, t, position=place) for t in targets],
        "in sequence": lambda: list(engine.explain_each(inputs, targets, position=place)),
        "together": lambda: engine.explain_all(inputs, targets, position=place),
    }
    times = alternate(runs, rounds=5, warm_up=1)
    base = times["single"].median
    name = type(engine.captured.rerun).__name__
    for way, timing in times.items():
        print(
            f"{device} {name} k={len(targets)} {way:12s} {timing!s} ms {timing.median / base:.2f}x"
        )


if __name__ == "__main__":
    main()
