"""AttnLRP as input times a modified gradient: a second opinion on the relevance-form references.

For every rule with eps=0, relevance is the activation times a gradient whose backward pass was
altered: constants are detached, products pass on half, activations keep their slope to the origin.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from transformers import LlamaForCausalLM, PreTrainedModel


def halved(operation: Callable[..., Tensor], a: Tensor, b: Tensor) -> Tensor:
    """A bilinear operation whose gradient reaches each operand with weight one half."""
    return (operation(a, b.detach()) + operation(a.detach(), b)) / 2


def secant(activation: Callable[..., Tensor], x: Tensor, **options: str) -> Tensor:
    """An activation as ``x`` times a constant slope (identity rule)."""
    return x * (activation(x, **options) / x).detach()


# --- Llama, written out --------------------------------------------------------------------------


def llama(model: LlamaForCausalLM, ids: Tensor, target: int) -> tuple[Tensor, Tensor]:
    """Relevance of the token embeddings, and the logits."""
    words = model.model.embed_tokens(ids).detach().requires_grad_()
    cos, sin = model.model.rotary_emb(words, torch.arange(ids.shape[1])[None])
    x = words
    for layer in model.model.layers:
        normed = rms_norm(layer.input_layernorm, x)
        x = x + attention(layer.self_attn, normed, cos[:, None], sin[:, None])
        normed = rms_norm(layer.post_attention_layernorm, x)
        gate = secant(F.silu, layer.mlp.gate_proj(normed))
        x = x + layer.mlp.down_proj(halved(torch.mul, gate, layer.mlp.up_proj(normed)))
    logits = model.lm_head(rms_norm(model.model.norm, x))
    (gradient,) = torch.autograd.grad(logits[:, -1, target].sum(), words)
    return words.detach() * gradient, logits.detach()


def rms_norm(norm: nn.Module, x: Tensor) -> Tensor:
    """RMSNorm with a constant root mean square."""
    rms = (x.pow(2).mean(-1, keepdim=True) + norm.variance_epsilon).sqrt()
    return norm.weight * x / rms.detach()


def attention(attn: nn.Module, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Causal attention over rotated, grouped heads."""

    def heads(projection: nn.Module) -> Tensor:
        return projection(x).unflatten(-1, (-1, attn.head_dim)).transpose(1, 2)

    def rotate(x: Tensor) -> Tensor:
        first, second = x.chunk(2, -1)
        return x * cos + torch.cat([-second, first], -1) * sin

    q, k, v = rotate(heads(attn.q_proj)), rotate(heads(attn.k_proj)), heads(attn.v_proj)
    k, v = (y.repeat_interleave(attn.num_key_value_groups, 1) for y in (k, v))
    scores = halved(torch.matmul, q, k.transpose(-1, -2)) * attn.scaling
    future = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
    mixed = halved(torch.matmul, scores.masked_fill(future, -math.inf).softmax(-1), v)
    return attn.o_proj(mixed.transpose(1, 2).flatten(-2))


# --- the models with LayerNorm, run as they are under altered functions --------------------------


class AlteredFunctions(TorchFunctionMode):
    """Swap the non-linear and bilinear functions of an eager model for their altered versions."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is torch.matmul:
            return halved(func, *args)
        if func in (F.gelu, torch.tanh):
            return secant(func, *args, **kwargs)
        if func is F.layer_norm:
            return layer_norm(*args, **kwargs)
        return func(*args, **kwargs)


def layer_norm(
    x: Tensor, shape: tuple[int, ...], weight: Tensor, bias: Tensor, eps: float
) -> Tensor:
    """LayerNorm with a constant standard deviation."""
    std = (x.var(-1, unbiased=False, keepdim=True) + eps).sqrt()
    return (x - x.mean(-1, keepdim=True)) / std.detach() * weight + bias


def altered(
    model: PreTrainedModel, inputs: dict[str, Tensor], source: str, target: int
) -> tuple[Tensor, Tensor]:
    """Relevance of an input, or of the output of the module of that name, and the logits."""
    leaves = []

    def start_here(_module: nn.Module, _args: tuple, output: Tensor) -> Tensor:
        leaves.append(output.detach().requires_grad_())
        return leaves[0]

    if source in inputs:
        leaves.append(inputs[source].clone().requires_grad_())
        inputs, handle = inputs | {source: leaves[0]}, None
    else:
        handle = model.get_submodule(source).register_forward_hook(start_here)
    with AlteredFunctions():
        logits = model(**inputs).logits
    if handle is not None:
        handle.remove()
    last = logits[:, -1] if logits.dim() == 3 else logits
    (gradient,) = torch.autograd.grad(last[:, target].sum(), leaves)
    return leaves[0].detach() * gradient, logits.detach()
