"""How time and peak memory grow with depth, width, length and batch: fitted exponents.

    python -m benchmarks.growth --axes tokens batch

Llama-shaped, eager; bf16 on a GPU, smaller and in float32 on a CPU, where memory is not measured.
The exponent b of y = a x^b is the slope in the log-log plane over the larger half of the sizes,
where launch overhead matters less.
"""

from __future__ import annotations

import argparse
import itertools

import numpy as np
import torch

from .contestants import DEVICE, Contestants, drawn
from .gpu import EAGER
from .models import llama
from .timing import alternate, peak_bytes

ON_GPU = DEVICE == "cuda"
BASE = {"layers": 8, "width": 1024, "tokens": 2048, "batch": 2}
SWEEPS = {
    "layers": (4, 8, 16, 32),
    "width": (512, 1024, 2048, 4096),
    "tokens": (2048, 4096, 8192, 16384),
    "batch": (2, 4, 8, 16),
}
SMALLER = {"layers": 1, "width": 4, "tokens": 8, "batch": 1}  # on a CPU: sizes divided by


def measured(layers: int, width: int, tokens: int, batch: int) -> dict[str, tuple[float, int]]:
    """Median ms and peak bytes of each run."""
    with torch.device(DEVICE):
        model, _ = llama(8, 1, layers, width, 4 * width, width // 64, tied=True)
    # A small vocabulary: the logits would hide what the layers need.
    model.lm_head = torch.nn.Linear(width, 512, bias=False, device=DEVICE)
    model = model.to(torch.bfloat16 if ON_GPU else torch.float32).eval().requires_grad_(False)
    contestants = Contestants(model, drawn(model, batch, tokens))
    runs = {name: contestants.run(name) for name in EAGER}
    times = alternate(runs, rounds=4, warm_up=1)
    return {name: (times[name].median, peak_bytes(run)) for name, run in runs.items()}


def exponent(sizes: tuple[int, ...], values: list[float]) -> float:
    """The slope of log y over log x, larger half."""
    half = len(sizes) // 2 - 1
    return float(np.polyfit(np.log(sizes[half:]), np.log(values[half:]), 1)[0])


def main() -> None:
    """Prints one row per run and axis."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--axes", nargs="*", choices=SWEEPS, default=list(SWEEPS))
    for axis in parser.parse_args().axes:
        by = dict.fromkeys(BASE, 1) if ON_GPU else SMALLER
        base = {name: size // by[name] for name, size in BASE.items()}
        sizes = tuple(size // by[axis] for size in SWEEPS[axis])
        print(f"{axis} {sizes}, otherwise {base}", flush=True)
        found = [measured(**(base | {axis: size})) for size in sizes]
        for run, which in itertools.product(found[0], (0, 1) if ON_GPU else (0,)):
            values = [f[run][which] for f in found]
            unit = ("ms", "MiB")[which]
            shown = [v / 2**20 if which else v for v in values]
            listed = " ".join(f"{v:.0f}" for v in shown)
            fit = exponent(sizes, values)
            print(f"{axis:7s} {run:15s} {unit:3s} ^{fit:.2f}  [{listed}]", flush=True)


if __name__ == "__main__":
    main()
