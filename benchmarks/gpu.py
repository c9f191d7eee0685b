"""Whole explanations in bf16 on one GPU, beside a plain input gradient: time and peak memory.

    python -m benchmarks.gpu --model llama-1b --sizes 1x512 --runs plain ours/balanced

Every number is a median of alternating runs in one process. Names of runs: `contestants.py`. Share:
of the rate at which this GPU multiplies two square matrices of side 8192, counting the products of
the eager run of the same kind.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from .contestants import Contestants, Run, drawn, load
from .models import ON_GPU
from .timing import alternate, peak_bytes

EAGER = ("plain", "ours/keep", "ours/balanced", "ours/low_memory")


def measure(model: Any, size: str, options: argparse.Namespace, rate: float) -> list[Any]:
    """One table: one model at one size."""
    batch, tokens = (int(n) for n in size.split("x"))
    torch._dynamo.reset()
    contestants = Contestants(model, drawn(model, batch, tokens))
    runs = {name: contestants.run(name) for name in options.runs}
    first = {name: _seconds(run) for name, run in runs.items()}
    times = alternate(runs, options.rounds)
    base = next(iter(times.values())).median
    rows = []
    for name, timing in times.items():
        work = _flops(contestants, name)
        row = {
            "model": options.model,
            "size": size,
            "run": name,
            "ms": timing.median,
            "low": timing.low,
            "high": timing.high,
            "ratio": timing.median / base,
            "peak": peak_bytes(runs[name]),
            "foretold": _foretold(contestants, name),
            "share": work / (timing.median * 1e-3) / rate,
            "first_call_s": first[name],
        }
        rows.append(row)
        print(
            f"| {options.model} | {size} | {name} | {timing} | {row['ratio']:.2f} |"
            f" {row['peak'] / 2**20:.0f} | {row['share']:.2f} | {first[name]:.1f} |"
            f" foretold {row['foretold'] / 2**20:.0f}",
            flush=True,
        )
    return rows


def main() -> None:
    """Measures and prints tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", choices=ON_GPU, default="llama-1b")
    parser.add_argument("--sizes", nargs="*", default=["1x512", "1x2048", "8x512"])
    parser.add_argument("--runs", nargs="*", default=EAGER, help="the first is what ratios are of")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    model, rate = load(options.model), matmul_rate()
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, {rate / 1e12:.0f} TFLOP/s")
    rows = []
    for size in options.sizes:
        try:
            rows += measure(model, size, options, rate)
        except torch.OutOfMemoryError as error:
            print(f"{options.model} {size}: out of memory: {str(error)[:80]}", flush=True)
        torch.cuda.empty_cache()
    if options.json:
        machine = {"gpu": torch.cuda.get_device_name(), "torch": torch.__version__}
        options.json.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1))


def matmul_rate(side: int = 8192) -> float:
    """Floating-point operations per second of one large product in bfloat16."""
    a, b = (torch.randn(side, side, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    timing = alternate({"product": lambda: a @ b}, rounds=15)["product"]
    return 2 * side**3 / (timing.median * 1e-3)


def _flops(contestants: Contestants, name: str) -> int:
    """Products of the eager run of the same kind."""
    row = "row:" if name.startswith("row:") else ""
    # torch cannot count attention with fewer keys than queries: plain runs count as ours do.
    eager = row + name.rpartition(":")[2].replace("plain", "ours/keep")
    counter = FlopCounterMode(display=False)
    with counter:
        contestants.run(eager)()
    return counter.get_total_flops()


def _foretold(contestants: Contestants, name: str) -> int:
    """The peak that an eager engine foretells."""
    return contestants.engine(name).memory().peak if name.startswith("ours") else 0


def _seconds(run: Run) -> float:
    start = time.perf_counter()
    run()
    torch.cuda.synchronize()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
