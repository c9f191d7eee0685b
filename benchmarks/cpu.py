"""Whole explanations on the CPU beside the plain input gradient, float32, batch 1.

    python -m benchmarks.cpu [--rounds N] [--json FILE]

"plain": forward, one logit, gradient with respect to the input (the embeddings for token ids),
parameters frozen. Language models are explained at the last position, which needs one row of their
output: "whole output" computes all of it, as the plain model does unless it is told ("row only").
Set-up ends with the first run. Runs alternate in one process; medians and quartiles are printed.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

import lrp_engine as lrp

from .models import ON_CPU
from .timing import alternate

CLASS = 7


def plain(model: Any, inputs: dict[str, torch.Tensor], **options: int) -> Callable[[], Any]:
    """Forward and input gradient; `options` are the model's own."""

    def run() -> torch.Tensor:
        if "input_ids" in inputs:
            x = model.get_input_embeddings()(inputs["input_ids"]).detach().requires_grad_()
            logits = model(inputs_embeds=x, use_cache=False, **options).logits[:, -1]
        else:
            x = inputs["pixel_values"].detach().requires_grad_()
            logits = model(pixel_values=x).logits
        logits[:, CLASS].sum().backward()
        return x.grad * x

    return run


def main() -> None:
    """Measures and prints a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", nargs="*", choices=ON_CPU, default=list(ON_CPU))
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--compiled", action="store_true")
    options = parser.parse_args()
    rows = []
    for name in options.models:
        torch.manual_seed(0)
        model, inputs = ON_CPU[name]()
        model.eval().requires_grad_(False)
        words = "input_ids" in inputs
        runs: dict[str, Callable[[], Any]] = {"plain input gradient": plain(model, inputs)}
        ways: dict[str, dict[str, Any]] = {"keep": {}, "balanced": {"policy": "balanced"}}
        if options.compiled:
            ways["compiled"] = {"compile": True, "dynamic": False}
        if words:
            runs["plain, row only"] = plain(model, inputs, logits_to_keep=1)
            ways["keep, whole output"] = {}
        setup = dict.fromkeys(runs, 0.0)
        for way, choice in ways.items():
            start = time.perf_counter()
            engine = lrp.Engine(model, inputs, **choice)
            question = {"position": -1 if words else None, "full_output": "whole" in way or None}
            runs[way] = partial(engine.explain, inputs, CLASS, **question)
            runs[way]()
            setup[way] = time.perf_counter() - start
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


if __name__ == "__main__":
    main()
