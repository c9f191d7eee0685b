"""Alternating, repeated timing: every contestant in turn, medians and quartiles."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Timing:
    """Milliseconds of one contestant."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.1f} ({self.low:.1f}-{self.high:.1f})"


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def alternate(
    contestants: Mapping[str, Callable[[], object]], rounds: int = 15, warm_up: int = 3
) -> dict[str, Timing]:
    """Times every contestant once per round, so that drift hits all alike."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for i in range(rounds + warm_up):
        for name, run in contestants.items():
            _wait()
            start = time.perf_counter()
            run()
            _wait()
            if i >= warm_up:
                times[name].append(1e3 * (time.perf_counter() - start))
    return {name: _summary(t) for name, t in times.items()}


def _summary(times: list[float]) -> Timing:
    low, median, high = statistics.quantiles(times, n=4)
    return Timing(median, low, high)


def peak_bytes(run: Callable[[], object]) -> int:
    """Peak GPU memory above what is held before the call; 0 without a GPU."""
    if not torch.cuda.is_available():
        return 0
    run()
    _wait()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    run()
    _wait()
    return torch.cuda.max_memory_allocated() - before
