"""Whole explanations on the CPU beside the plain input gradient, float32, batch 1.

    python -m benchmarks.cpu [--rounds N] [--json FILE]

"plain": forward, one logit, gradient with respect to the input (the embeddings for token ids),
parameters frozen. Runs alternate in one process; medians and quartiles are printed.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import lrp_engine as lrp

from .models import ON_CPU
from .timing import alternate

CLASS = 7


def plain(model: Any, inputs: dict[str, torch.Tensor]) -> Callable[[], Any]:
    """Forward and input gradient."""

    def run() -> torch.Tensor:
        if "input_ids" in inputs:
            x = model.get_input_embeddings()(inputs["input_ids"]).detach().requires_grad_()
            logits = model(inputs_embeds=x, use_cache=False).logits[:, -1]
        else:
            x = inputs["pixel_values"].detach().requires_grad_()
            logits = model(pixel_values=x).logits
        logits[:, CLASS].sum().backward()
        return x.grad * x

    return run


def main() -> None:
    """Measures and prints a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--compiled", action="store_true")
    options = parser.parse_args()
    rows = []
    for name, make in ON_CPU.items():
        torch.manual_seed(0)
        model, inputs = make()
        model.eval().requires_grad_(False)
        position = -1 if "input_ids" in inputs else None
        runs: dict[str, Callable[[], Any]] = {"plain input gradient": plain(model, inputs)}
        setup = {"plain input gradient": 0.0}
        ways: dict[str, dict[str, Any]] = {"keep": {}, "balanced": {"policy": "balanced"}}
        if options.compiled:
            ways["compiled"] = {"compile": True, "dynamic": False}
        for way, choice in ways.items():
            start = time.perf_counter()
            engine = lrp.Engine(model, inputs, **choice)
            run = _explanation(engine, inputs, position)
            if way != "compiled":
                _ = engine.program
            setup[way] = time.perf_counter() - start
            runs[way] = run
        times = alternate(runs, options.rounds)
        base = times["plain input gradient"].median
        for way, timing in times.items():
            row = {"model": name, "run": way, "ms": timing.median, "ratio": timing.median / base}
            rows.append(row | {"low": timing.low, "high": timing.high, "setup_s": setup[way]})
            print(
                f"{name:26s} {way:22s} {timing!s:26s} ms {timing.median / base:.2f}x"
                f"  set-up {setup[way]:.1f} s",
                flush=True,
            )
    if options.json:
        machine = {"cpu": platform.processor(), "threads": torch.get_num_threads()}
        options.json.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1))


def _explanation(engine: lrp.Engine, inputs: Any, position: int | None) -> Callable[[], Any]:
    return lambda: engine.explain(inputs, CLASS, position=position)


if __name__ == "__main__":
    main()
