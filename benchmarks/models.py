"""Models of published sizes with random weights; nothing is downloaded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

Inputs = dict[str, Any]
Made = tuple[nn.Module, Inputs]


def gpt2_small(tokens: int = 128, layers: int = 12) -> Made:
    """GPT-2 small: 12 layers of width 768."""
    from transformers import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(GPT2Config(n_layer=layers, use_cache=False))
    return model, {"input_ids": torch.randint(0, 50257, (1, tokens))}


def vit_base(layers: int = 12) -> Made:
    """ViT-B/16 at 224 pixels."""
    from transformers import ViTConfig, ViTForImageClassification

    model = ViTForImageClassification(ViTConfig(num_labels=1000, num_hidden_layers=layers))
    return model, {"pixel_values": torch.randn(1, 3, 224, 224)}


def llama_1b(tokens: int = 512, batch: int = 1, layers: int = 16) -> Made:
    """Llama 3.2 1B: 16 layers of width 2048, grouped KV, tied head."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=128256,
        hidden_size=2048,
        intermediate_size=8192,
        num_hidden_layers=layers,
        num_attention_heads=32,
        num_key_value_heads=8,
        head_dim=64,
        max_position_embeddings=8192,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        use_cache=False,
    )
    return LlamaForCausalLM(config), {"input_ids": torch.randint(0, 128256, (batch, tokens))}


ON_CPU: dict[str, Callable[[], Made]] = {
    "GPT-2 small, 128 tokens": gpt2_small,
    "ViT-B, 224 px": vit_base,
}
