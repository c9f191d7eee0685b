"""Time and memory of two runs: `delta` beside one run of `relp` and plain autograd, in one process.

Usage: python -m benchmarks.two_runs [--device cuda] [--sizes 1x512 4x512] [--dtype bfloat16]

Explanations are of one class at the last position. Scores are of all attention and MLP outputs, for
a difference of two logits at the last position. Attribution patching is by plain autograd: at the
embeddings (one input gradient, one more forward pass), or by hooks at the same components.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from benchmarks.circuit_speed import by_autograd
from lrp_engine import Engine
from lrp_engine.circuits import CircuitModel, Pairs, logit_difference, score


def gpt2_small() -> nn.Module:
    return GPT2LMHeadModel(GPT2Config(n_positions=8192))


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


Call = Callable[[], object]
Make = Callable[[Tensor, Tensor], dict[str, Call]]
ESTIMATORS = ("gradient", "relp", "delta", "delta_plus")


def by_plain_torch(model: nn.Module, ids: Tensor, base: Tensor) -> dict[str, Call]:
    """Return forward passes and gradients without this engine."""
    embed = model.get_input_embeddings()

    def forward(given: Tensor = ids) -> None:
        with torch.no_grad():
            model(input_ids=given)

    def gradient() -> None:
        x = embed(ids).detach().requires_grad_()
        torch.autograd.grad(model(inputs_embeds=x).logits[:, -1, 7].sum(), x)

    return {
        "forward": forward,
        "two forwards": lambda: (forward(), forward(base)),
        "gradient": gradient,
        "attribution patching": lambda: (gradient(), forward(base)),
    }


def explanations(model: nn.Module, example: Tensor, compiled: bool) -> Make:
    """Return explanations of both kinds, captured once for all sizes."""
    relp, delta = (
        Engine(model, {"input_ids": example}, preset=preset, compile=compiled)
        for preset in ("relp", "delta")
    )

    def calls(ids: Tensor, base: Tensor) -> dict[str, Call]:
        inputs, reference = {"input_ids": ids}, {"input_ids": base}
        return {
            "relp": lambda: relp.explain(inputs, 7, position=-1, full_output=True),
            "delta": lambda: delta.explain(inputs, 7, position=-1, reference=reference),
        }

    return calls


def scores(model: nn.Module, example: Tensor) -> Make:
    """Return scores by every estimator, captured once for all sizes."""
    captured, kinds = CircuitModel(model, {"input_ids": example}), ("attn_out", "mlp_out")

    def calls(ids: Tensor, base: Tensor) -> dict[str, Call]:
        places = torch.zeros(len(ids)).long()
        pairs = Pairs({"input_ids": ids}, {"input_ids": base}, logit_difference(places, places + 1))
        paths = sorted({site.own_name for site in captured.choose(kinds)})
        by_hooks = {"patching by hooks": lambda: by_autograd(model, pairs, paths)}

        def scored(name: str) -> Call:
            return lambda: score(captured, pairs, kinds, estimator=name)

        return by_hooks | {f"score, {name}": scored(name) for name in ESTIMATORS}

    return calls


def report(found: dict[str, Call], device: str, repeats: int) -> None:
    """Print seconds and memory, and ratios to the two ways of attribution patching."""
    rows = [(n, timed(call, device, repeats), peak(call, device)) for n, call in found.items()]
    seconds = {name: s for name, s, _ in rows}
    for name, s, memory in rows:
        scored = name == "patching by hooks" or name.startswith("score")
        plain, one = (
            ("patching by hooks", "score, relp") if scored else ("attribution patching", "relp")
        )
        print(
            f"  {name:22}{s * 1e3:9.2f} ms  {s / seconds[plain]:5.2f} of patching"
            f"  {s / seconds[one]:5.2f} of relp  {memory:9.1f} MiB",
            flush=True,
        )


def main() -> None:
    """Time every model at every size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--sizes", nargs="+", default=["1x128"])
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--compile", action="store_true", help="explanations by compiled programs")
    parser.add_argument("--no-scores", action="store_true", help="explanations alone")
    a = parser.parse_args()
    print(f"{a.device} {a.dtype}, torch {torch.__version__}, {torch.get_num_threads()} threads")
    for name in a.models:
        torch.manual_seed(0)
        model = MODELS[name]().eval().to(a.device, getattr(torch, a.dtype)).requires_grad_(False)
        model.get_input_embeddings().weight.requires_grad_(True)  # hooks need something to reach
        example = torch.randint(0, 30000, (2, 64), device=a.device)
        makes: list[Make] = [lambda *ids: by_plain_torch(model, *ids)]  # noqa: B023
        makes.append(explanations(model, example, a.compile))
        makes += [] if a.no_scores else [scores(model, example)]
        for size in a.sizes:
            batch, length = map(int, size.split("x"))
            ids, base = (
                torch.randint(0, 30000, (batch, length), device=a.device) for _ in range(2)
            )
            print(f"{name}, {size}:", flush=True)
            report({k: c for m in makes for k, c in m(ids, base).items()}, a.device, a.repeats)


if __name__ == "__main__":
    main()
