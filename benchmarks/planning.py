"""Set-up time: capture, plan and both programs, over `torch.export.export` of the same model alone.

    python -m benchmarks.planning [--layers 48] [--rounds 3] [--only GPT-2 ...]

Tiny widths, because set-up does not depend on them. CPU seconds, since the machine may be shared;
both contestants take turns in one process.
"""

from __future__ import annotations

import argparse
import gc
import os
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
import transformers
from torch import nn
from torch.export import Dim

import lrp_engine as lrp

Made = tuple[nn.Module, dict[str, Any]]
VOCABULARY, BATCH, LENGTH = 64, 2, 7


def gpt2(layers: int) -> Made:
    """GPT-2."""
    config = transformers.GPT2Config(
        n_embd=16, n_layer=layers, n_head=2, n_positions=32, vocab_size=VOCABULARY, use_cache=False
    )
    return transformers.GPT2LMHeadModel(config).eval(), {"input_ids": _tokens()}


def llama(layers: int) -> Made:
    """Llama, two query heads to every key/value head."""
    config = transformers.LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=32,
        use_cache=False,
    )
    return transformers.LlamaForCausalLM(config).eval(), {"input_ids": _tokens()}


def vit(layers: int) -> Made:
    """ViT."""
    config = transformers.ViTConfig(
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=layers,
        num_attention_heads=2,
        image_size=16,
        patch_size=8,
    )
    return transformers.ViTForImageClassification(config).eval(), {
        "pixel_values": torch.randn(BATCH, 3, 16, 16)
    }


MODELS: dict[str, Callable[[int], Made]] = {"GPT-2": gpt2, "Llama": llama, "ViT": vit}


def _tokens() -> torch.Tensor:
    return torch.randint(0, VOCABULARY, (BATCH, LENGTH))


def exported(model: nn.Module, inputs: dict[str, Any]) -> object:
    """torch.export with the sizes free that the engine leaves free."""
    sequences = {"input_ids": {0: Dim.AUTO, 1: Dim.AUTO}, "pixel_values": {0: Dim.AUTO}}
    shapes = {name: sequences[name] for name in inputs}
    with torch.no_grad():
        return torch.export.export(model, (), inputs, dynamic_shapes=shapes, strict=False)


def set_up(model: nn.Module, inputs: dict[str, Any]) -> object:
    """Everything up to the two programs."""
    return lrp.Engine(model, inputs).program


def seconds(run: Callable[..., object], made: Made) -> float:
    """CPU time of one run."""
    gc.collect()
    start = time.process_time()
    run(*made)
    return time.process_time() - start


def row(name: str, layers: int, rounds: int) -> str:
    """The medians of one model."""
    runs = {"export": exported, "set-up": set_up}
    for run in runs.values():  # both have seen the architecture before they are timed
        run(*MODELS[name](1))
    made = MODELS[name](layers)
    times: dict[str, list[float]] = {which: [] for which in runs}
    for _ in range(rounds):
        for which, run in runs.items():
            times[which].append(seconds(run, made))
    alone, whole = (median(times[which]) for which in runs)
    return f"| {name} | {alone:.1f} | {whole:.1f} | {whole / alone:.2f} |"


def main() -> None:
    """Prints one row per model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=list(MODELS))
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, transformers {transformers.__version__}")
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print("| model | export, s | set-up, s | ratio |\n|---|---:|---:|---:|")
    for name in chosen.only:
        print(row(name, chosen.layers, chosen.rounds), flush=True)


if __name__ == "__main__":
    main()
