"""Whole explanations in bf16 on one GPU, beside a plain input gradient: time and peak memory.

    python -m benchmarks.gpu --model llama-1b --sizes 1x512 8x512 --compiled reduce-overhead

Every number is a median of alternating runs in one process. "plain" is the model itself in eager
torch: forward, one logit, gradient with respect to the embeddings (or pixels), parameters frozen.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import lrp_engine as lrp

from .models import ON_GPU
from .timing import alternate, peak_bytes

CLASS = 7
POLICIES = ("keep", "balanced", "low_memory")
Run = Callable[[], Any]


def drawn(model: Any, batch: int, tokens: int) -> dict[str, torch.Tensor]:
    """Inputs of one size: token ids, or images in the model's dtype."""
    words = getattr(model.config, "vocab_size", None)
    if words:
        return {"input_ids": torch.randint(0, words, (batch, tokens), device="cuda")}
    return {"pixel_values": torch.randn(batch, 3, 224, 224, device="cuda", dtype=torch.bfloat16)}


def load(name: str) -> Any:
    """A model of published size on the GPU, in bfloat16."""
    torch.manual_seed(0)
    with torch.device("cuda"):
        torch.set_default_dtype(torch.bfloat16)
        model, _ = ON_GPU[name]()
        torch.set_default_dtype(torch.float32)
    return model.to(torch.bfloat16).eval().requires_grad_(False)


def _compiled(step: Callable[[torch.Tensor], Any], mode: str | None) -> Callable[..., Any]:
    """The step as it is, or through torch.compile; under CUDA graphs every call is a new step."""
    if mode is None:
        return step
    run = torch.compile(step, fullgraph=True, mode=None if mode == "default" else mode)

    def marked(x: torch.Tensor) -> Any:
        torch.compiler.cudagraph_mark_step_begin()
        return run(x)

    return marked


def plain(model: Any, inputs: dict[str, torch.Tensor], mode: str | None = None) -> Run:
    """Forward and input gradient."""

    def logit(x: torch.Tensor) -> torch.Tensor:
        if "pixel_values" in inputs:
            return model(pixel_values=x).logits[:, CLASS].sum()
        return model(inputs_embeds=x, use_cache=False).logits[:, -1, CLASS].sum()

    step = _compiled(logit, mode)

    def run() -> torch.Tensor:
        if "pixel_values" in inputs:
            x = inputs["pixel_values"].detach().requires_grad_()
        else:
            x = model.get_input_embeddings()(inputs["input_ids"]).detach().requires_grad_()
        (gradient,) = torch.autograd.grad(step(x), x)
        return (gradient * x).sum(-1)

    return run


def forward(model: Any, inputs: dict[str, torch.Tensor], mode: str | None = None) -> Run:
    """The model alone."""
    (name,) = inputs
    step = _compiled(lambda x: model(**{name: x}).logits, mode)

    def run() -> torch.Tensor:
        with torch.no_grad():
            return step(inputs[name])

    return run


def ours(engine: lrp.Engine, inputs: dict[str, torch.Tensor]) -> Run:
    """One explanation (of language models at the last position)."""
    position = -1 if "input_ids" in inputs else None
    return lambda: engine.explain(inputs, CLASS, position=position).per_token()


def contestants(
    model: Any, inputs: dict[str, torch.Tensor], options: argparse.Namespace
) -> tuple[dict[str, Run], dict[str, int]]:
    """Every run by name, and the peak that each eager engine foretells."""
    runs: dict[str, Run] = {} if options.no_plain else {"plain": plain(model, inputs)}
    foretold = {}
    eager = lrp.Engine(model, inputs)
    for policy in options.policies:
        engine = eager.with_policy(policy)
        runs[f"eager {policy}"] = ours(engine, inputs)
        foretold[f"eager {policy}"] = engine.memory().peak
    for mode in options.compiled:
        fixed = lrp.Engine(
            model, inputs, compile=True if mode == "default" else mode, dynamic=False
        )
        for policy in options.compiled_policies:
            runs[f"{mode} {policy}"] = ours(fixed.with_policy(policy), inputs)
    return runs, foretold


def measure(model: Any, name: str, size: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """One table: one model at one size."""
    batch, tokens = (int(n) for n in size.split("x"))
    inputs = drawn(model, batch, tokens)
    torch._dynamo.reset()
    runs, foretold = contestants(model, inputs, options)
    setup = {way: _first(run) for way, run in runs.items()}
    times = alternate(runs, options.rounds)
    base = next(iter(times.values())).median
    rows = []
    for way, timing in times.items():
        peak = peak_bytes(runs[way])
        rows.append(
            {
                "model": name,
                "size": size,
                "run": way,
                "ms": timing.median,
                "low": timing.low,
                "high": timing.high,
                "ratio": timing.median / base,
                "peak": peak,
                "foretold": foretold.get(way),
                "first_call_s": setup[way],
            }
        )
        told = f" (foretold {foretold[way] / 2**20:.0f})" if way in foretold else ""
        print(
            f"{name} {size} {way:24s} {timing!s:24s} ms {timing.median / base:.2f}x"
            f" peak {peak / 2**20:.0f} MiB{told} first call {setup[way]:.1f} s",
            flush=True,
        )
    return rows


def main() -> None:
    """Measures and prints tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", choices=ON_GPU, default="llama-1b")
    parser.add_argument("--sizes", nargs="*", default=["1x512", "1x2048", "8x512"])
    parser.add_argument("--policies", nargs="*", default=POLICIES)
    parser.add_argument("--compiled", nargs="*", default=[], metavar="MODE")
    parser.add_argument("--compiled-policies", nargs="*", default=["keep", "balanced"])
    parser.add_argument("--no-plain", action="store_true", help="compare with the first run")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    model = load(options.model)
    rows = []
    for size in options.sizes:
        try:
            rows += measure(model, options.model, size, options)
        except torch.OutOfMemoryError as error:
            print(f"{options.model} {size}: out of memory: {str(error)[:80]}", flush=True)
        torch.cuda.empty_cache()
    if options.json:
        machine = {"gpu": torch.cuda.get_device_name(), "torch": torch.__version__}
        options.json.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1))


def _first(run: Run) -> float:
    start = time.perf_counter()
    run()
    torch.cuda.synchronize()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
