"""Train small language models on five tasks (`circuit_tasks`), for `circuit_scores`.

    python -m benchmarks.train_task_models FOLDER [--steps 4000] [--device cuda]

Writes NAME.json (a transformers config) and NAME.safetensors for a deep GPT-2 (16 layers), a NeoX
with parallel attention and MLP, and a Llama. About a minute each on one H100.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoConfig, AutoModelForCausalLM

from benchmarks.circuit_tasks import TASKS, ids, task_pairs, vocabulary

_COMMON = {"vocab_size": len(vocabulary()), "bos_token_id": 0, "eos_token_id": 0}
MODELS: dict[str, dict[str, object]] = {
    "deep_gpt2": {
        "model_type": "gpt2",
        "n_layer": 16,
        "n_embd": 192,
        "n_head": 6,
        "n_positions": 32,
    }
    | {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0},
    "neox": {"model_type": "gpt_neox", "num_hidden_layers": 6, "hidden_size": 256}
    | {"num_attention_heads": 8, "intermediate_size": 1024, "max_position_embeddings": 32},
    "llama5": {"model_type": "llama", "num_hidden_layers": 6, "hidden_size": 256}
    | {"num_attention_heads": 8, "num_key_value_heads": 4, "intermediate_size": 688}
    | {"max_position_embeddings": 32, "tie_word_embeddings": False},
}
_PAD, _LENGTH = -100, 21


def batches(size: int, rng: random.Random) -> Tensor:
    """(size, position): clean or corrupt prompts with a right answer; -100 behind the end."""
    rows = torch.full((size, _LENGTH), _PAD)
    for row in rows:
        p = TASKS[rng.choice(list(TASKS))](rng)
        clean = rng.random() < 0.5
        words = [*(p.clean if clean else p.corrupt), rng.choice(p.answer if clean else p.wrong)]
        if p.answer[0].isdigit() and not clean:
            words[-1] = f"{rng.randrange(2, 100):02d}"  # any year is later than the first
        row[: len(words)] = torch.tensor(ids(words))
    return rows


def train(config: dict[str, object], steps: int, device: str) -> torch.nn.Module:
    """Train on next words; the answer, each row's last word, counts four times more."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config, **_COMMON)).to(device)
    optimiser = torch.optim.AdamW(model.parameters(), lr=6e-4, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-3, total_steps=steps)
    data = batches(60_000, random.Random(0)).to(device)
    last = (data != _PAD).sum(1) - 1
    for step in range(steps):
        rows = torch.randint(0, len(data), (512,), device=device)
        words, targets = data[rows].clamp(min=0)[:, :-1], data[rows][:, 1:]
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            logits = model(input_ids=words).logits
        loss = F.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), ignore_index=_PAD)
        answer = torch.arange(512, device=device), last[rows] - 1
        loss = loss + 4 * F.cross_entropy(logits[answer].float(), targets[answer])
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if step % 1000 == 999:
            print(f"  step {step + 1}: loss {float(loss):.3f}", flush=True)
    return model.eval()


def right(model: torch.nn.Module, task: str, device: str) -> str:
    """How often the metric has the right sign, and its mean: clean, then corrupt."""
    pairs, found = task_pairs(task, 128, seed=1), []
    for side in (pairs.clean, pairs.corrupt):
        with torch.no_grad():
            logits = model(input_ids=side["input_ids"].to(device)).logits
        found.append(pairs.metric(logits.float().cpu()))
    clean, corrupt = found
    share = float((clean > 0).float().mean())
    return f"{task} {share:.2f} ({clean.mean():+.2f}, {corrupt.mean():+.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--model", action="append")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    for name in args.model or MODELS:
        print(name, flush=True)
        model = train(MODELS[name], args.steps, args.device)
        print("  " + ", ".join(right(model, task, args.device) for task in TASKS), flush=True)
        weights = {n: w.detach().cpu().half().contiguous() for n, w in model.named_parameters()}
        save_file(weights, args.folder / f"{name}.safetensors")
        config = MODELS[name] | _COMMON
        (args.folder / f"{name}.json").write_text(json.dumps(config, indent=1))


if __name__ == "__main__":
    main()
