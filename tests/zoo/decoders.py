"""Language models that read from left to right."""

from __future__ import annotations

from typing import Any

import torch
import transformers as tf
from torch import nn
from torch.export import Dim

from .entry import VOCABULARY, Entry, tokens

SMALL = {
    "vocab_size": VOCABULARY,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 32,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}


def gpt2(**settings: Any) -> nn.Module:
    config = tf.GPT2Config(
        vocab_size=VOCABULARY,
        n_positions=32,
        n_embd=16,
        n_layer=2,
        n_head=4,
        bos_token_id=1,
        eos_token_id=2,
        **settings,
    )
    return tf.GPT2LMHeadModel(config)


def llama(**settings: Any) -> nn.Module:
    scaling = {
        "rope_type": "llama3",
        "rope_theta": 10000.0,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 16,
    }
    return tf.LlamaForCausalLM(
        tf.LlamaConfig(**SMALL, rope_parameters=scaling, tie_word_embeddings=True, **settings)
    )


def gemma3(**settings: Any) -> nn.Module:
    return tf.Gemma3ForCausalLM(
        tf.Gemma3TextConfig(
            **SMALL,
            head_dim=4,
            sliding_window=64,
            layer_types=["sliding_attention", "full_attention"],
            **settings,
        )
    )


def qwen3(**settings: Any) -> nn.Module:
    return tf.Qwen3ForCausalLM(tf.Qwen3Config(**SMALL, head_dim=4, **settings))


def gpt_neox(**settings: Any) -> nn.Module:
    small = {k: v for k, v in SMALL.items() if k != "num_key_value_heads"}
    return tf.GPTNeoXForCausalLM(tf.GPTNeoXConfig(**small, **settings))


def mixtral(**settings: Any) -> nn.Module:
    config = tf.MixtralConfig(**SMALL, num_local_experts=4, num_experts_per_tok=2, **settings)
    return tf.MixtralForCausalLM(config)


def mixtral_batched(**settings: Any) -> nn.Module:
    """Every token with its experts' weights gathered for it: no grouped op."""
    model = mixtral(**settings)
    model.set_experts_implementation("batched_mm")
    return model


def qwen2_moe(**settings: Any) -> nn.Module:
    config = tf.Qwen2MoeConfig(
        **SMALL,
        num_experts=4,
        num_experts_per_tok=2,
        moe_intermediate_size=12,
        shared_expert_intermediate_size=20,
        **settings,
    )
    return tf.Qwen2MoeForCausalLM(config)


def mamba() -> nn.Module:
    return tf.MambaForCausalLM(
        tf.MambaConfig(
            vocab_size=VOCABULARY,
            hidden_size=16,
            state_size=4,
            num_hidden_layers=2,
            time_step_rank=4,
            bos_token_id=1,
            eos_token_id=2,
            pad_token_id=0,
        )
    )


def mamba2() -> nn.Module:
    return tf.Mamba2ForCausalLM(
        tf.Mamba2Config(
            vocab_size=VOCABULARY,
            hidden_size=16,
            state_size=4,
            num_hidden_layers=2,
            num_heads=4,
            head_dim=8,
            n_groups=1,
            chunk_size=4,
            bos_token_id=1,
            eos_token_id=2,
            pad_token_id=0,
        )
    )


def _attending(build: Any, **facts: Any) -> Entry:
    return Entry(build, tokens, length=True, attention=True, position=-1, **facts)


DECODERS = {
    "gpt2": _attending(gpt2),
    "llama": _attending(llama),
    "gemma3": _attending(gemma3),
    "qwen3": _attending(qwen3),
    "gpt_neox": _attending(gpt_neox),
    # The grouped kernel that routed experts use by default has no double precision.
    "mixtral": _attending(mixtral, dtype=torch.float32),
    "mixtral_batched": _attending(mixtral_batched),
    "qwen2_moe": _attending(qwen2_moe, dtype=torch.float32),
    "mamba": Entry(mamba, tokens, length=True, position=-1),
    # A free length works, too, and takes torch.export half a minute: it is left out here.
    "mamba2": Entry(mamba2, tokens, dynamic={"input_ids": {0: Dim.AUTO}}, position=-1),
}
