"""References for the encoders with a classifier on their first token."""

import torch
from torch import Tensor
from transformers import BertForSequenceClassification, ViTForImageClassification

from . import steps
from .attention import Attention, AttentionShape, key_mask
from .explanation import Explanation, Stack, require_keys, seed
from .layers import LayerNorm, Linear, Mlp, PostNormBlock, PreNormBlock, gelu


class FirstToken:
    """Selection of the first token; the others get no relevance from here."""

    def forward(self, x: Tensor) -> Tensor:
        self.shape = x.shape
        return x[:, 0]

    def backward(self, relevance: Tensor) -> Tensor:
        spread = relevance.new_zeros(self.shape)
        spread[:, 0] = relevance
        return spread


@torch.no_grad()
def bert(
    model: BertForSequenceClassification, inputs: dict[str, Tensor], target: int | Tensor
) -> Explanation:
    """Relevance of the ``bert.embeddings.word_embeddings`` output, (batch, length, hidden)."""
    require_keys(inputs, {"input_ids", "attention_mask", "token_type_ids"})
    table, ids = model.bert.embeddings, inputs["input_ids"]
    words = table.word_embeddings.weight.detach()[ids]
    kinds = inputs.get("token_type_ids", torch.zeros_like(ids))
    constants = table.token_type_embeddings.weight[kinds]
    constants = constants + table.position_embeddings.weight[: ids.shape[1]]
    allowed = key_mask(words, inputs.get("attention_mask"), causal=False)
    pooler = Mlp(Linear.of(model.bert.pooler.dense), torch.tanh, Linear.of(model.classifier))
    blocks = [
        (f"layer.{i}", bert_block(layer, allowed))
        for i, layer in enumerate(model.bert.encoder.layer)
    ]
    norm = LayerNorm(table.LayerNorm)
    stack = Stack([("embeddings", norm), *blocks, ("first", FirstToken()), ("pooler", pooler)])
    logits = stack.forward(words + constants)
    start = seed(logits, target)
    stages = [("seed", start), *stack.backward(start)]
    relevance, _ = steps.add(words, constants, stages[-1][1])
    return Explanation(relevance, logits, [*stages, ("source", relevance)])


def bert_block(layer: torch.nn.Module, allowed: Tensor) -> PostNormBlock:
    """One BERT layer."""
    own, dense = layer.attention.self, layer.attention.output.dense
    heads = own.num_attention_heads
    scale = (own.query.weight.shape[0] // heads) ** -0.5
    shape = AttentionShape(heads, heads, scale, own.query.weight.dtype)
    projections = tuple(Linear.of(p) for p in (own.query, own.key, own.value, dense))
    return PostNormBlock(
        Attention(projections, shape, allowed),
        LayerNorm(layer.attention.output.LayerNorm),
        Mlp(Linear.of(layer.intermediate.dense), gelu, Linear.of(layer.output.dense)),
        LayerNorm(layer.output.LayerNorm),
    )


@torch.no_grad()
def vit(
    model: ViTForImageClassification, inputs: dict[str, Tensor], target: int | Tensor
) -> Explanation:
    """Relevance of ``pixel_values``, shape (batch, channels, height, width)."""
    require_keys(inputs, {"pixel_values"})
    table, pixels = model.vit.embeddings, inputs["pixel_values"]
    projection, size = table.patch_embeddings.projection, model.config.patch_size
    embed = Linear(projection.weight.flatten(1), projection.bias)
    patches = embed.forward(cut_patches(pixels, size))
    tokens = torch.cat([table.cls_token.expand(len(pixels), -1, -1), patches], dim=1)
    stack = vit_stack(model, key_mask(tokens, None, causal=False))
    logits = stack.forward(tokens + table.position_embeddings)
    start = seed(logits, target)
    stages = [("seed", start), *stack.backward(start)]
    to_tokens, _ = steps.add(tokens, table.position_embeddings, stages[-1][1])
    relevance = join_patches(embed.backward(to_tokens[:, 1:]), size, pixels.shape)
    return Explanation(relevance, logits, [*stages, ("tokens", to_tokens), ("source", relevance)])


def vit_stack(model: ViTForImageClassification, allowed: Tensor) -> Stack:
    """Everything between the embedded tokens and the logits."""
    blocks = [
        (f"layers.{i}", vit_block(layer, model.config, allowed))
        for i, layer in enumerate(model.vit.layers)
    ]
    norm, head = LayerNorm(model.vit.layernorm), Linear.of(model.classifier)
    return Stack([*blocks, ("layernorm", norm), ("first", FirstToken()), ("classifier", head)])


def vit_block(layer: torch.nn.Module, config, allowed: Tensor) -> PreNormBlock:
    """One ViT layer."""
    attn, dtype = layer.attention, layer.attention.q_proj.weight.dtype
    heads, scale = config.num_attention_heads, attn.head_dim**-0.5
    # Eager attention takes its softmax in float32 in this model, the fused one does not.
    softmax_dtype = torch.float32 if config._attn_implementation == "eager" else dtype
    shape = AttentionShape(heads, heads, scale, softmax_dtype)
    projections = tuple(Linear.of(p) for p in (attn.q_proj, attn.k_proj, attn.v_proj, attn.o_proj))
    return PreNormBlock(
        LayerNorm(layer.layernorm_before),
        Attention(projections, shape, allowed),
        LayerNorm(layer.layernorm_after),
        Mlp(Linear.of(layer.mlp.fc1), gelu, Linear.of(layer.mlp.fc2)),
    )


def cut_patches(pixels: Tensor, size: int) -> Tensor:
    """(batch, channels, height, width) to (batch, patches, channels * size * size)."""
    grid = pixels.unfold(2, size, size).unfold(3, size, size)
    return grid.permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)


def join_patches(patches: Tensor, size: int, shape: torch.Size) -> Tensor:
    """Inverse of ``cut_patches``."""
    batch, channels, height, width = shape
    grid = patches.reshape(batch, height // size, width // size, channels, size, size)
    return grid.permute(0, 3, 1, 4, 2, 5).reshape(shape)
