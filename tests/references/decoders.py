"""References for the causal language models, explained at the last position."""

import torch
from torch import Tensor
from transformers import GPT2LMHeadModel, LlamaForCausalLM

from . import steps
from .attention import Attention, AttentionShape, key_mask
from .explanation import Explanation, Stack, require_keys, seed
from .layers import GatedMlp, LayerNorm, Linear, Mlp, PreNormBlock, RMSNorm, Rotary, gelu_new

INPUTS = {"input_ids", "attention_mask"}


@torch.no_grad()
def gpt2(model: GPT2LMHeadModel, inputs: dict[str, Tensor], target: int | Tensor) -> Explanation:
    """Relevance of the ``transformer.wte`` output, shape (batch, length, hidden)."""
    require_keys(inputs, INPUTS)
    body, ids = model.transformer, inputs["input_ids"]
    words = body.wte.weight.detach()[ids]
    positions = body.wpe.weight.detach()[: ids.shape[1]]
    allowed = key_mask(words, inputs.get("attention_mask"), causal=True)
    blocks = [(f"h.{i}", gpt2_block(block, allowed)) for i, block in enumerate(body.h)]
    stack = Stack([*blocks, ("ln_f", LayerNorm(body.ln_f)), ("lm_head", Linear.of(model.lm_head))])
    logits = stack.forward(words + positions)
    start = seed(logits, target)
    stages = [("seed", start), *stack.backward(start)]
    relevance, _ = steps.add(words, positions, stages[-1][1])
    return Explanation(relevance, logits, [*stages, ("source", relevance)])


def gpt2_block(block: torch.nn.Module, allowed: Tensor) -> PreNormBlock:
    """One GPT-2 block; the fused projection is cut into its query, key and value parts."""
    attn, dtype = block.attn, block.attn.c_attn.weight.dtype
    weights, biases = attn.c_attn.weight.T.chunk(3), attn.c_attn.bias.chunk(3)
    q, k, v = (Linear(weight, bias) for weight, bias in zip(weights, biases, strict=True))
    scale = (attn.embed_dim // attn.num_heads) ** -0.5
    shape = AttentionShape(attn.num_heads, attn.num_heads, scale, dtype)
    return PreNormBlock(
        LayerNorm(block.ln_1),
        Attention((q, k, v, Linear.of_conv1d(attn.c_proj)), shape, allowed),
        LayerNorm(block.ln_2),
        Mlp(Linear.of_conv1d(block.mlp.c_fc), gelu_new, Linear.of_conv1d(block.mlp.c_proj)),
    )


@torch.no_grad()
def llama(model: LlamaForCausalLM, inputs: dict[str, Tensor], target: int | Tensor) -> Explanation:
    """Relevance of the ``model.embed_tokens`` output, shape (batch, length, hidden)."""
    require_keys(inputs, INPUTS)
    body, ids = model.model, inputs["input_ids"]
    words = body.embed_tokens.weight.detach()[ids]
    allowed = key_mask(words, inputs.get("attention_mask"), causal=True)
    blocks = [
        (f"layers.{i}", llama_block(layer, model.config, allowed))
        for i, layer in enumerate(body.layers)
    ]
    norm = RMSNorm(body.norm.weight, model.config.rms_norm_eps)
    stack = Stack([*blocks, ("norm", norm), ("lm_head", Linear.of(model.lm_head))])
    logits = stack.forward(words)
    start = seed(logits, target)
    stages = [("seed", start), *stack.backward(start)]
    relevance = stages[-1][1]
    return Explanation(relevance, logits, [*stages, ("source", relevance)])


def llama_block(layer: torch.nn.Module, config, allowed: Tensor) -> PreNormBlock:
    """One Llama block: grouped key/value heads, rotary positions, SwiGLU."""
    attn, mlp = layer.self_attn, layer.mlp
    dtype = attn.q_proj.weight.dtype
    cos, sin = rotary_table(config, allowed.shape[-1], dtype)
    # Eager attention takes its softmax in float32 in this model, the fused one does not.
    softmax_dtype = torch.float32 if config._attn_implementation == "eager" else dtype
    shape = AttentionShape(
        config.num_attention_heads, config.num_key_value_heads, config.head_dim**-0.5, softmax_dtype
    )
    projections = [Linear.of(p) for p in (attn.q_proj, attn.k_proj, attn.v_proj, attn.o_proj)]
    rotary = (Rotary(cos, sin), Rotary(cos, sin))
    return PreNormBlock(
        RMSNorm(layer.input_layernorm.weight, config.rms_norm_eps),
        Attention(tuple(projections), shape, allowed, rotary),
        RMSNorm(layer.post_attention_layernorm.weight, config.rms_norm_eps),
        GatedMlp(Linear.of(mlp.gate_proj), Linear.of(mlp.up_proj), Linear.of(mlp.down_proj)),
    )


def rotary_table(config, length: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Cosine and sine of every position's angles, shape (length, head dim), default rope type."""
    dim, base = config.head_dim, config.rope_parameters["rope_theta"]
    frequencies = 1.0 / base ** (torch.arange(0, dim, 2, dtype=torch.float32) / dim)
    # The model keeps frequencies in its own dtype but computes angles in float32.
    frequencies = frequencies.to(dtype).to(torch.float32)
    angles = torch.arange(length).float().unsqueeze(-1) * frequencies
    angles = torch.cat([angles, angles], dim=-1)
    return angles.cos().to(dtype), angles.sin().to(dtype)
