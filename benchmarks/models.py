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


def gpt2_xl(tokens: int = 512, batch: int = 1, layers: int = 48) -> Made:
    """GPT-2 XL: 48 layers of width 1600."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(n_embd=1600, n_layer=layers, n_head=25, n_positions=8192, use_cache=False)
    return GPT2LMHeadModel(config), {"input_ids": torch.randint(0, 50257, (batch, tokens))}


def vit_large(batch: int = 1, layers: int = 24) -> Made:
    """ViT-L/16 at 224 pixels."""
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(
        hidden_size=1024,
        intermediate_size=4096,
        num_hidden_layers=layers,
        num_attention_heads=16,
        num_labels=1000,
    )
    return ViTForImageClassification(config), {"pixel_values": torch.randn(batch, 3, 224, 224)}


def llama(
    tokens: int, batch: int, layers: int, width: int, inner: int, heads: int, *, tied: bool
) -> Made:
    """A Llama 3 of any size: heads in groups of four, 128256 words."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=128256,
        hidden_size=width,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads // 4,
        head_dim=width // heads,
        max_position_embeddings=131072,
        rms_norm_eps=1e-5,
        tie_word_embeddings=tied,
        use_cache=False,
    )
    return LlamaForCausalLM(config), {"input_ids": torch.randint(0, 128256, (batch, tokens))}


def llama_1b(tokens: int = 512, batch: int = 1, layers: int = 16) -> Made:
    """Llama 3.2 1B: 16 layers of width 2048, grouped KV, tied head."""
    return llama(tokens, batch, layers, 2048, 8192, 32, tied=True)


def llama_8b(tokens: int = 512, batch: int = 1, layers: int = 32) -> Made:
    """Llama 3.1 8B: 32 layers of width 4096, grouped KV."""
    return llama(tokens, batch, layers, 4096, 14336, 32, tied=False)


def mamba(tokens: int = 8, batch: int = 1, layers: int = 24) -> Made:
    """Mamba 130M: 24 layers of width 768. In eager mode, without its own kernels, the model steps
    through the text in Python; what is captured of it scans. With the wider random weights that are
    transformers' default, 24 layers in bfloat16 amplify rounding until no digit is left."""
    from transformers import MambaConfig, MambaForCausalLM

    config = MambaConfig(num_hidden_layers=layers, use_cache=False, initializer_range=0.02)
    return MambaForCausalLM(config), {"input_ids": torch.randint(0, 50280, (batch, tokens))}


def tiny() -> Made:
    """A Llama that runs anywhere, to try a script on."""
    return llama(8, 1, 2, 64, 128, 4, tied=True)


ON_GPU: dict[str, Callable[[], Made]] = {
    "tiny": tiny,
    "llama-1b": lambda: llama_1b(8),
    "llama-8b": lambda: llama_8b(8),
    "gpt2-xl": lambda: gpt2_xl(8),
    "vit-l": vit_large,
    "mamba": mamba,
}

ON_CPU: dict[str, Callable[[], Made]] = {
    "GPT-2 small, 128 tokens": gpt2_small,
    "ViT-B, 224 px": vit_base,
    "Mamba 130M, 64 tokens": lambda: mamba(64),
}
