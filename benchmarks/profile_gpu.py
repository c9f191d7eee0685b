"""Where the time of one explanation goes on a GPU: the dearest kernels, and the time with none.

    python -m benchmarks.profile_gpu --size 1x2048 --runs plain ours reduce-overhead:ours

For every run: wall time of one call (median), the sum of its kernels, their number, the dearest,
and the longest times between two kernels, in which the GPU waited for the host.
"""

from __future__ import annotations

import argparse

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from .contestants import Contestants, Run, drawn, load
from .models import ON_GPU
from .timing import alternate


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
    _gaps(found)


def _gaps(found: profile) -> None:
    """Prints the longest times without a kernel, and all the short ones together."""
    events = sorted(
        (e for e in found.events() if e.device_type == DeviceType.CUDA),
        key=lambda e: e.time_range.start,
    )
    if not events:
        return
    end, gaps = events[0].time_range.end, []
    for event in events[1:]:
        gaps.append((event.time_range.start - end, event.name))
        end = max(end, event.time_range.end)
    gaps.sort(reverse=True)
    rest = sum(max(0.0, gap) for gap, _ in gaps[4:]) / 1e3
    longest = ", ".join(f"{gap / 1e3:.3f} ms before {name[:40]}" for gap, name in gaps[:4])
    span = (end - events[0].time_range.start) / 1e3
    print(f"  from first to last kernel {span:.2f} ms; waits: {longest}; others {rest:.3f} ms")


def main() -> None:
    """Prints kernel tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", choices=ON_GPU, default="llama-1b")
    parser.add_argument("--size", default="1x2048")
    parser.add_argument("--runs", nargs="*", default=["plain", "ours"])
    parser.add_argument("--rows", type=int, default=20)
    options = parser.parse_args()
    model = load(options.model)
    batch, tokens = (int(n) for n in options.size.split("x"))
    contestants = Contestants(model, drawn(model, batch, tokens))
    for name in options.runs:
        table(name, contestants.run(name), options.rows)


if __name__ == "__main__":
    main()
