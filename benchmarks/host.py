"""What the host does per explanation: deep and narrow models, whose kernels take next to nothing.

    python -m benchmarks.host

On one CPU thread the time of such a model is that of Python, dispatch and checks: what a GPU waits
for at small sizes. Runs as in `contestants.py`, medians of alternating runs.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch

from .contestants import Contestants
from .models import Made, llama
from .timing import alternate

WORDS, TOKENS = 64, 4
RUNS = ("plain", "ours/keep", "ours/balanced", "ours/low_memory")


def vit() -> Made:
    """ViT of 24 layers, width 32, 5 tokens."""
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=24,
        num_attention_heads=2,
        num_labels=8,
        image_size=32,
        patch_size=16,
    )
    return ViTForImageClassification(config), {"pixel_values": torch.randn(1, 3, 32, 32)}


def _words() -> dict[str, torch.Tensor]:
    return {"input_ids": torch.randint(0, WORDS, (1, TOKENS))}


def gpt2() -> Made:
    """GPT-2 of 24 layers, width 32, 4 tokens."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(n_embd=32, n_layer=24, n_head=2, vocab_size=WORDS, use_cache=False)
    config.bos_token_id = config.eos_token_id = None
    return GPT2LMHeadModel(config), _words()


def narrow_llama() -> Made:
    """Llama of 16 layers, width 64, 4 tokens."""
    model, _ = llama(8, 1, 16, 64, 64, 4, tied=False)
    model.lm_head = torch.nn.Linear(64, WORDS, bias=False)
    return model, _words()


def mamba() -> Made:
    """Mamba of 24 layers, width 32, 4 tokens: few enough for its own loop to be short."""
    from transformers import MambaConfig, MambaForCausalLM

    config = MambaConfig(hidden_size=32, vocab_size=WORDS, num_hidden_layers=24, use_cache=False)
    return MambaForCausalLM(config), _words()


MODELS: dict[str, Callable[[], Made]] = {
    "ViT, 24 layers": vit,
    "GPT-2, 24 layers": gpt2,
    "Llama, 16 layers": narrow_llama,
    "Mamba, 24 layers": mamba,
}


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=41)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    print("| model | run | ms | ratio to plain |\n|---|---|---|---|")
    for name, make in MODELS.items():
        torch.manual_seed(0)
        model, inputs = make()
        contestants = Contestants(model.eval().requires_grad_(False), inputs)
        rows = ("row:ours/keep",) if "input_ids" in inputs else ()
        runs = {run: contestants.run(run) for run in (*RUNS, *rows)}
        times = alternate(runs, rounds=rounds, warm_up=5)
        for run, timing in times.items():
            ratio = timing.median / times["plain"].median
            print(f"| {name} | {run} | {timing} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
