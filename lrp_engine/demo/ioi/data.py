"""Loads the model and the prompts."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...boundary.arrays import read_safetensors
from ...boundary.tables import read_json_lines, read_json_object
from ...circuits.circuit_model import CircuitModel
from ...circuits.pairs import Pairs, logit_difference

HERE = Path(__file__).parent


def load_ioi_model() -> nn.Module:
    """Load transformers' own GPT-2 with 4 layers; it answers every prompt here correctly."""
    from transformers import GPT2Config, GPT2LMHeadModel

    model: nn.Module = GPT2LMHeadModel(GPT2Config(**_read("config.json")))
    stored = read_safetensors(HERE / "model.safetensors").tensors
    weights = {name: w.float() for name, w in stored.items()}
    model.load_state_dict(weights, strict=False)  # the head shares the embedding's weight
    model.tie_weights()  # type: ignore[operator]
    model.eval()
    return model


def ioi_prompts(template: int | None = None) -> list[dict[str, Any]]:
    """Return the 200 prompt pairs, or the 40 of one template (0 to 4).

    Each has `clean` and `corrupt` (lists of words of equal length; the corrupt prompt repeats the
    other name), `answer` (right for the clean prompt) and `wrong`.
    """
    prompts = read_json_lines(HERE / "prompts.jsonl")
    return [p for p in prompts if template in (None, p["template"])]


def ioi_pairs(template: int = 0, count: int = 16) -> Pairs:
    """`count` prompts of one template with the metric logit(answer) - logit(wrong)."""
    chosen = ioi_prompts(template)[:count]
    clean, corrupt = (torch.stack([ids(p[side]) for p in chosen]) for side in ("clean", "corrupt"))
    answer, wrong = (ids([p[side] for p in chosen]) for side in ("answer", "wrong"))
    return Pairs({"input_ids": clean}, {"input_ids": corrupt}, logit_difference(answer, wrong))


@cache
def ioi_subject() -> tuple[CircuitModel, Pairs]:
    """Return the captured model and four prompts of the first template, captured once."""
    pairs = ioi_pairs(count=4)
    return CircuitModel(load_ioi_model(), pairs.clean), pairs


def tokenize(words: str | list[str]) -> list[int]:
    """Token ids of words, given as a list or separated by spaces."""
    return ids(words.split() if isinstance(words, str) else words).tolist()


def ids(words: list[str]) -> Tensor:
    """Token ids of words."""
    return torch.tensor([vocabulary()[word] for word in words])


def words_of(tokens: Tensor | list[int]) -> list[str]:
    """Return the words behind token ids, (position,)."""
    known = {number: word for word, number in vocabulary().items()}
    return [known[int(token)] for token in tokens]


@cache
def vocabulary() -> dict[str, int]:
    """Word -> token id."""
    found: dict[str, int] = _read("vocab.json")
    return found


def _read(name: str) -> Any:
    return read_json_object(HERE / name)
