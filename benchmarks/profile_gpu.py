"""Where the time of one explanation goes on a GPU: the dearest kernels, and the time with none.

    python -m benchmarks.profile_gpu --size 1x2048 --runs plain eager reduce-overhead:ours

For every run: wall time of one call (median), the sum of its kernels, launches, and the dearest
kernels. What wall time exceeds the kernels by, the GPU waited for the host.
"""

from __future__ import annotations

import argparse
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

import lrp_engine as lrp

from .gpu import Run, drawn, forward, load, ours, plain
from .models import ON_GPU
from .timing import alternate


def contestant(name: str, model: Any, inputs: dict[str, torch.Tensor], policy: str) -> Run:
    """`plain`, `forward`, or `eager`, each alone or after `MODE:` for torch.compile in that mode.

    Ours is `eager`, `default:ours`, `reduce-overhead:ours`.
    """
    mode, _, what = name.rpartition(":")
    if what == "forward":
        return forward(model, inputs, mode or None)
    if what == "plain":
        return plain(model, inputs, mode or None)
    compile = {"": False, "default": True}.get(mode, mode)
    engine = lrp.Engine(model, inputs, policy=policy, compile=compile, dynamic=not mode)
    return ours(engine, inputs)


def table(name: str, run: Run, rows: int) -> None:
    """Prints one run's kernels."""
    timing = alternate({name: run}, rounds=15)[name]
    with profile(activities=[ProfilerActivity.CUDA]) as found:
        run()
        torch.cuda.synchronize()
    kernels = [r for r in found.key_averages() if r.self_device_time_total]
    total = sum(r.self_device_time_total for r in kernels) / 1e3
    launches = sum(r.count for r in kernels)
    print(f"\n{name}: {timing} ms, {total:.2f} ms of kernels, {launches} kernels")
    for row in sorted(kernels, key=lambda r: -r.self_device_time_total)[:rows]:
        print(f"  {row.self_device_time_total / 1e3:7.3f} ms {row.count:5d}x {row.key[:100]}")


def main() -> None:
    """Prints kernel tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", choices=ON_GPU, default="llama-1b")
    parser.add_argument("--size", default="1x2048")
    parser.add_argument("--runs", nargs="*", default=["plain", "eager"])
    parser.add_argument("--policy", default="keep")
    parser.add_argument("--rows", type=int, default=20)
    options = parser.parse_args()
    model = load(options.model)
    batch, tokens = (int(n) for n in options.size.split("x"))
    inputs = drawn(model, batch, tokens)
    for name in options.runs:
        table(name, contestant(name, model, inputs, options.policy), options.rows)


if __name__ == "__main__":
    main()
