"""Time and memory of two runs: `delta` beside one run of `relp` and plain autograd, in one process.

Usage: python -m benchmarks.two_runs [--device cuda] [--sizes 1x512 4x512] [--dtype bfloat16]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from lrp_engine import Engine


def gpt2_small() -> nn.Module:
    return GPT2LMHeadModel(GPT2Config())


def llama_small() -> nn.Module:
    """A Llama of 12 layers with grouped keys."""
    config = LlamaConfig(
        vocab_size=32000, hidden_size=1024, intermediate_size=2816, num_hidden_layers=12,
        num_attention_heads=16, num_key_value_heads=4,
    )  # fmt: skip
    return LlamaForCausalLM(config)


MODELS: dict[str, Callable[[], nn.Module]] = {
    "gpt2 small": gpt2_small,
    "llama 12x1024": llama_small,
}


def wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def timed(call: Callable[[], object], device: str, repeats: int) -> float:
    """Return the median seconds of a call, after two to warm up."""
    found = []
    for _ in range(repeats + 2):
        wait(device)
        start = time.perf_counter()
        call()
        wait(device)
        found.append(time.perf_counter() - start)
    return median(found[2:])


def peak(call: Callable[[], object], device: str) -> float:
    """Return MiB allocated at the peak of a call, above what was there before."""
    if device != "cuda":
        return float("nan")
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    call()
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / 2**20


def calls_of(model: nn.Module, ids: Tensor, base: Tensor) -> dict[str, Callable[[], object]]:
    """Return what is compared: the logit of one class at the last position."""
    embed = model.get_input_embeddings()
    inputs, reference = {"input_ids": ids}, {"input_ids": base}
    relp, delta = (Engine(model, inputs, preset=preset) for preset in ("relp", "delta"))

    def forward() -> None:
        with torch.no_grad():
            model(input_ids=ids)

    def two_forwards() -> None:
        forward()
        with torch.no_grad():
            model(input_ids=base)

    def gradient() -> None:
        x = embed(ids).detach().requires_grad_()
        torch.autograd.grad(model(inputs_embeds=x).logits[:, -1, 7].sum(), x)

    def patching() -> None:
        gradient()
        with torch.no_grad():
            model(input_ids=base)

    return {
        "forward": forward,
        "two forwards": two_forwards,
        "gradient": gradient,
        "attribution patching": patching,
        "relp": lambda: relp.explain(inputs, 7, position=-1, full_output=True),
        "delta": lambda: delta.explain(inputs, 7, position=-1, reference=reference),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--sizes", nargs="+", default=["1x128"])
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    parser.add_argument("--repeats", type=int, default=7)
    a = parser.parse_args()
    print(f"{a.device} {a.dtype}, torch {torch.__version__}, {torch.get_num_threads()} threads")
    for name in a.models:
        torch.manual_seed(0)
        model = MODELS[name]().eval().to(a.device, getattr(torch, a.dtype))
        for size in a.sizes:
            batch, length = map(int, size.split("x"))
            ids, base = (
                torch.randint(0, 30000, (batch, length), device=a.device) for _ in range(2)
            )
            calls = calls_of(model, ids, base)
            seconds = {k: timed(c, a.device, a.repeats) for k, c in calls.items()}
            memory = {k: peak(c, a.device) for k, c in calls.items()}
            print(f"{name}, {size}:")
            for kind, s in seconds.items():
                against = s / seconds["attribution patching"]
                print(
                    f"  {kind:22}{s * 1e3:9.2f} ms  {against:5.2f} of attribution patching"
                    f"  {s / seconds['relp']:5.2f} of relp  {memory[kind]:9.1f} MiB"
                )


if __name__ == "__main__":
    main()
