"""Node scores beside attribution patching by plain autograd and hooks, on the same model.

    python benchmarks/circuit_speed.py [--model gpt2-small|gpt2s] [--batch 4] [--length 32]

Prints medians over interleaved rounds, and their ratio. `gpt2-small` has the shape of GPT-2 small
(12 layers, width 768) and random weights: speed does not depend on them.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel

from lrp_engine.circuits import (
    CircuitModel,
    Pairs,
    edge_scores,
    logit_difference,
    patch,
    score,
)
from lrp_engine.demo.ioi import load_ioi_model


def net(name: str) -> nn.Module:
    """A model to time."""
    if name == "gpt2s":
        return load_ioi_model()
    torch.manual_seed(0)
    config = GPT2Config(bos_token_id=None, eos_token_id=None)
    return GPT2LMHeadModel(config).eval()


def by_autograd(model: nn.Module, pairs: Pairs, paths: list[str]) -> list[Tensor]:
    """Attribution patching as people write it: hooks, two forwards, one backward."""
    modules = [model.get_submodule(path) for path in paths]

    def run(inputs: dict, grad: bool) -> tuple[list[Tensor], Tensor]:
        kept: list[Tensor] = []

        def keep(_: nn.Module, __: tuple, out: Tensor | tuple) -> None:
            first = out[0] if isinstance(out, tuple) else out
            if grad:
                first.retain_grad()
            kept.append(first)

        hooks = [m.register_forward_hook(keep) for m in modules]
        with torch.set_grad_enabled(grad):
            logits = model(**inputs).logits
        for hook in hooks:
            hook.remove()
        return kept, logits

    clean, _ = run(pairs.clean, False)
    corrupt, logits = run(pairs.corrupt, True)
    pairs.metric(logits).sum().backward()
    return [((a - b) * b.grad).sum(-1) for a, b in zip(clean, corrupt, strict=True)]


def timed(functions: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds, the functions taking turns."""
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for function in functions.values():
        function()  # programs are written and caches filled
    for _ in range(rounds):
        for name, function in functions.items():
            started = time.perf_counter()
            function()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(s) for name, s in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=["gpt2-small", "gpt2s"], default="gpt2-small")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--length", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--patching", action="store_true", help="time the exact sweep as well")
    args = parser.parse_args()
    model = net(args.model).to(args.device)
    for parameter in model.parameters():
        parameter.requires_grad_(False)  # autograd need not compute their gradients
    model.get_input_embeddings().weight.requires_grad_(True)
    size = (args.batch, args.length)
    vocabulary = model.config.vocab_size
    clean, corrupt = (
        {"input_ids": torch.randint(0, vocabulary, size).to(args.device)} for _ in range(2)
    )
    metric = logit_difference(torch.zeros(args.batch).long(), torch.ones(args.batch).long())
    pairs = Pairs(clean, corrupt, metric)
    layers = range(model.config.n_layer)
    paths = [f"transformer.h.{i}.{part}" for i in layers for part in ("attn", "mlp")]
    started = time.perf_counter()
    captured = CircuitModel(model, clean)
    print(f"captured in {time.perf_counter() - started:.1f} s")
    kinds = ["attn_out", "mlp_out"]
    functions: dict[str, Callable[[], object]] = {
        "autograd and hooks": lambda: by_autograd(model, pairs, paths),
        "gradient": lambda: score(captured, pairs, kinds, estimator="gradient"),
        "relp": lambda: score(captured, pairs, kinds, estimator="relp"),
        "relp, all components": lambda: score(
            captured, pairs, ["resid_pre", "q", "k", "v", "z", *kinds], estimator="relp"
        ),
    }
    found = timed(functions, args.rounds)
    base = found["autograd and hooks"]
    for name, seconds in found.items():
        print(f"{name:24} {seconds * 1000:9.1f} ms  {seconds / base:5.2f}x")
    edges: list[object] = []
    one = timed({"edges": lambda: edges.append(edge_scores(captured, pairs))}, 2)["edges"]
    print(f"{'every edge, relp':24} {one * 1000:9.1f} ms  ({len(edges[-1])} edges)")
    if args.patching:
        started = time.perf_counter()
        exact = patch(captured, pairs, kinds)
        count = sum(v[0].numel() for v in exact.values.values())
        print(f"{'exact patching':24} {(time.perf_counter() - started):9.1f} s   ({count} patches)")


if __name__ == "__main__":
    main()
