"""Llama-3.2-1B-shaped, bf16, on one GPU: whole explanations beside a plain input gradient.

    python -m benchmarks.gpu [--compiled MODE ...] [--json FILE]

Every number is a median of alternating runs in one process. "plain" is the model itself in eager
torch: forward, one logit, gradient with respect to the embeddings, parameters frozen.
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

from .models import llama_1b
from .timing import alternate, peak_bytes

SIZES = ((1, 512), (1, 2048), (8, 512))
TOKEN = 7


def plain(model: Any, ids: torch.Tensor) -> Callable[[], torch.Tensor]:
    """Forward and input gradient."""

    def run() -> torch.Tensor:
        embedded = model.get_input_embeddings()(ids).detach().requires_grad_()
        logits = model(inputs_embeds=embedded, use_cache=False).logits
        logits[:, -1, TOKEN].sum().backward()
        return (embedded.grad * embedded).sum(-1)

    return run


def ours(engine: lrp.Engine, ids: torch.Tensor) -> Callable[[], torch.Tensor]:
    """One explanation at the last position."""
    return lambda: engine.explain({"input_ids": ids}, TOKEN, position=-1).per_token()


def main() -> None:
    """Measures and prints a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--compiled", nargs="*", default=[], metavar="MODE")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--sizes", type=int, nargs="*", default=range(len(SIZES)))
    parser.add_argument("--policies", nargs="*", default=["keep", "balanced"])
    options = parser.parse_args()
    torch.manual_seed(0)
    with torch.device("cuda"):
        model, _ = llama_1b(tokens=8)
    model = model.to(torch.bfloat16).eval().requires_grad_(False)
    rows = []
    for batch, tokens in (SIZES[i] for i in options.sizes):
        ids = torch.randint(0, 128256, (batch, tokens), device="cuda")
        runs: dict[str, Callable[[], Any]] = {"plain": plain(model, ids)}
        engines = {}
        for policy in options.policies:
            engines[f"eager {policy}"] = lrp.Engine(model, {"input_ids": ids}, policy=policy)
            for name in options.compiled:
                torch._dynamo.reset()
                compiled: bool | str = name if name != "default" else True
                engines[f"{name} {policy}"] = lrp.Engine(
                    model, {"input_ids": ids}, policy=policy, compile=compiled, dynamic=False
                )
        runs |= {name: ours(engine, ids) for name, engine in engines.items()}
        setup = {name: _set_up(run) for name, run in runs.items()}
        same = torch.equal(
            engines[f"eager {options.policies[0]}"].forward({"input_ids": ids}).output.logits,
            model(ids).logits,
        )
        times = alternate(runs)
        for name, timing in times.items():
            peak = peak_bytes(runs[name]) / 2**20
            rows.append(
                {
                    "batch": batch,
                    "tokens": tokens,
                    "run": name,
                    "ms": timing.median,
                    "low": timing.low,
                    "high": timing.high,
                    "ratio": timing.median / times["plain"].median,
                    "peak_mib": peak,
                    "first_call_s": setup[name],
                    "logits_equal": same,
                }
            )
            print(
                f"{batch}x{tokens} {name:24s} {timing!s:22s} ms"
                f"  {rows[-1]['ratio']:.2f}x  peak {peak:.0f} MiB  first call {setup[name]:.1f} s"
                f"  bit-identical {same}",
                flush=True,
            )
        del engines, runs
        torch.cuda.empty_cache()
    if options.json:
        machine = {"gpu": torch.cuda.get_device_name(), "torch": torch.__version__}
        options.json.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1))


def _set_up(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    run()
    torch.cuda.synchronize()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
