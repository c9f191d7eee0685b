"""Blocks are found by what they compute, whatever the modules are called."""

import pytest
import torch
from torch import nn
from transformers import (
    BertConfig,
    BertModel,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
)

from lrp_engine.circuits import CircuitModel
from lrp_engine.circuits.blocks import BlockKind

SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4}
WIDE = SIZES | {"intermediate_size": 24, "vocab_size": 30}
TOKENS = {"bos_token_id": None, "eos_token_id": None}


def gpt2(attention: str) -> nn.Module:
    config = GPT2Config(vocab_size=30, n_embd=16, n_layer=2, n_head=4, **TOKENS)
    config._attn_implementation = attention
    return GPT2LMHeadModel(config)


MODELS = {
    "gpt2": lambda: gpt2("sdpa"),
    "gpt2 written out": lambda: gpt2("eager"),
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**WIDE, num_key_value_heads=2, **TOKENS)),
    "parallel": lambda: GPTNeoXForCausalLM(GPTNeoXConfig(**WIDE, **TOKENS)),
    "post-norm": lambda: BertModel(BertConfig(**WIDE), add_pooling_layer=False),
}


@pytest.mark.parametrize("name", MODELS)
def test_blocks_heads_and_neurons_are_found(name: str) -> None:
    net = MODELS[name]().eval()
    model = CircuitModel(net, {"input_ids": torch.randint(0, 30, (3, 7))})
    blocks = model.structure.blocks
    assert [b.kind for b in blocks].count(BlockKind.ATTENTION) == 2
    assert [b.kind for b in blocks].count(BlockKind.MLP) == 2
    assert [b.layer for b in blocks] == [0, 0, 1, 1]
    assert all(b.heads is not None for b in blocks if b.kind is BlockKind.ATTENTION)
    assert all(b.neurons is not None for b in blocks if b.kind is BlockKind.MLP)
    modules = dict(net.named_modules())
    assert all(b.path in modules for b in blocks)
    kinds = {site.kind.value for site in model.sites}
    assert {"embed", "resid_pre", "resid_post", "attn_out", "mlp_out", "z", "q", "neuron"} <= kinds


def test_names_in_every_style() -> None:
    net = gpt2("sdpa").eval()
    model = CircuitModel(net, {"input_ids": torch.randint(0, 30, (3, 7))})
    (z,) = model.choose("blocks.1.attn.hook_z")
    assert z.short_name(3) == "a1.h3"
    assert z.own_name == "transformer.h.1.attn:z"
    assert model.choose("blocks.1.attn.hook_result") == (z,)
    (mlp,) = model.choose("blocks.1.hook_mlp_out")
    assert (mlp.short_name(), mlp.own_name) == ("m1", "transformer.h.1.mlp")
    assert [s.name for s in model.choose("transformer.h.*.ln_2")] == [
        "transformer.h.0.ln_2",
        "transformer.h.1.ln_2",
    ]


def test_a_plain_network_has_no_blocks_but_modules() -> None:
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)).eval()
    model = CircuitModel(net, torch.randn(3, 4))
    assert model.structure.blocks == ()
    assert [s.name for s in model.choose("1")] == ["1"]
