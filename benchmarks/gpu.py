"""Whole explanations in bf16 on one GPU, beside a plain input gradient: time and peak memory.

    python -m benchmarks.gpu --model llama-1b --sizes 1x512 --runs plain row:ours/balanced

Every number is a median of alternating runs in one process. Names of runs: `contestants.py`.
Columns: ms, ratio to the first run, peak MiB above what was held before, share of the rate at which
this GPU multiplies two square matrices (products and attention counted as the eager run of the same
kind does them, once), seconds of the first call.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch

from .contestants import DEVICE, Contestants, Run, drawn, load
from .models import ON_GPU
from .timing import alternate, peak_bytes
from .turns import alone

EAGER = ("plain", "row:ours/keep", "row:ours/balanced", "row:ours/low_memory")


def measure(model: Any, size: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """One table: one model at one size."""
    batch, tokens = (int(n) for n in size.split("x"))
    torch._dynamo.reset()
    contestants = Contestants(model, drawn(model, batch, tokens))
    runs = {name: contestants.run(name) for name in options.runs}
    first = _first_calls(runs)
    work = {name: contestants.operations(name) for name in first}
    with alone(options.turns, options.members, f"{options.model}-{size}"):
        return _table(runs, first, work, size, options)


def _table(
    runs: dict[str, Run],
    first: dict[str, float],
    work: dict[str, int],
    size: str,
    options: argparse.Namespace,
) -> list[dict[str, Any]]:
    """Times the runs in turn and prints a row for each."""
    rate = matmul_rate()
    print(f"products at {rate / 1e12:.0f} TFLOP/s", flush=True)
    times = alternate({name: runs[name] for name in first}, options.rounds, options.warm_up)
    base = times[options.runs[0]].median if options.runs[0] in times else float("nan")
    rows = []
    for name, timing in times.items():
        ratio, peak = timing.median / base, peak_bytes(runs[name])
        share = work[name] / (timing.median * 1e-3) / rate
        rows.append(
            {"model": options.model, "size": size, "run": name, "peak": peak, "ratio": ratio}
            | {"ms": timing.median, "low": timing.low, "high": timing.high, "first_s": first[name]}
            | {"share": share, "product_tflops": rate / 1e12}
        )
        print(
            f"| {options.model} | {size} | {name} | {timing} | {ratio:.2f} | {peak / 2**20:.0f} |"
            f" {share:.2f} | {first[name]:.1f} |",
            flush=True,
        )
    return rows


def _first_calls(runs: dict[str, Run]) -> dict[str, float]:
    """Seconds of every run's first call; what the GPU has no memory for is named and left out."""
    found = {}
    for name, run in runs.items():
        try:
            found[name] = _seconds(run)
        except torch.OutOfMemoryError as error:
            print(f"{name}: out of memory: {str(error)[:80]}", flush=True)
        if DEVICE == "cuda":
            torch.cuda.empty_cache()
    return found


def main() -> None:
    """Measures and prints tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", choices=ON_GPU, default="llama-1b")
    parser.add_argument("--sizes", nargs="*", default=["1x512", "1x2048", "8x512"])
    parser.add_argument("--runs", nargs="*", default=EAGER, help="the first is what ratios are of")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--warm-up", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--turns", type=Path, help="folder of processes that time in turn")
    parser.add_argument("--members", type=int, default=1, help="how many processes that are")
    options = parser.parse_args()
    model = load(options.model)
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else DEVICE
    machine = {"gpu": gpu, "torch": torch.__version__}
    print(machine, flush=True)
    rows = []
    for size in options.sizes:
        rows += measure(model, size, options)
    if options.json:
        options.json.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1))


def matmul_rate(side: int = 8192) -> float:
    """Floating-point operations per second of one large product in bfloat16."""
    side = side if DEVICE == "cuda" else 512
    a, b = (torch.randn(side, side, device=DEVICE, dtype=torch.bfloat16) for _ in range(2))
    timing = alternate({"product": lambda: a @ b}, rounds=15)["product"]
    return 2 * side**3 / (timing.median * 1e-3)


def _seconds(run: Run) -> float:
    start = time.perf_counter()
    run()
    if DEVICE == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
