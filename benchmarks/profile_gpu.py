"""Where the time of one eager explanation goes on a GPU: the dearest kernels.

python -m benchmarks.profile_gpu [batch] [tokens]
"""

from __future__ import annotations

import sys

import torch
from torch.profiler import ProfilerActivity, profile

import lrp_engine as lrp

from .gpu import drawn, ours, plain
from .models import llama_1b


def main() -> None:
    """Prints kernel tables for the plain gradient and for an explanation."""
    batch, tokens = (int(a) for a in (sys.argv[1:] or ("1", "2048")))
    with torch.device("cuda"):
        model, _ = llama_1b(tokens=8)
    model = model.to(torch.bfloat16).eval().requires_grad_(False)
    inputs = drawn(model, batch, tokens)
    engine = lrp.Engine(model, inputs)
    for name, run in {"plain": plain(model, inputs), "eager keep": ours(engine, inputs)}.items():
        for _ in range(3):
            run()
        torch.cuda.synchronize()
        with profile(activities=[ProfilerActivity.CUDA]) as found:
            run()
            torch.cuda.synchronize()
        rows = found.key_averages()
        total = sum(r.self_device_time_total for r in rows) / 1e3
        print(f"\n{name}: {total:.2f} ms of kernels, {sum(r.count for r in rows)} launches")
        for row in sorted(rows, key=lambda r: -r.self_device_time_total)[:22]:
            print(f"  {row.self_device_time_total / 1e3:7.3f} ms {row.count:5d}x {row.key[:110]}")


if __name__ == "__main__":
    main()
