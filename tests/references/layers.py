"""Layers that store activations on the way forward and carry relevance on the way back."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from . import steps


class Layer(Protocol):
    """One input, one output: ``forward`` stores what ``backward`` needs to move relevance."""

    def forward(self, x: Tensor) -> Tensor: ...

    def backward(self, relevance: Tensor) -> Tensor: ...


class Linear:
    """Affine map with LRP-0; ``weight`` has shape (out, in)."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self.weight = weight.detach()
        self.bias = torch.zeros_like(self.weight[:, 0]) if bias is None else bias.detach()

    @classmethod
    def of(cls, module: nn.Module) -> "Linear":
        return cls(module.weight, module.bias)

    @classmethod
    def of_conv1d(cls, module: nn.Module) -> "Linear":
        """GPT-2 stores its weights as (in, out)."""
        return cls(module.weight.T, module.bias)

    def forward(self, x: Tensor) -> Tensor:
        self.x, self.y = x, x @ self.weight.T + self.bias
        return self.y

    def backward(self, relevance: Tensor) -> Tensor:
        return steps.linear(self.x, self.weight, self.y, relevance)


class LayerNorm:
    """LayerNorm whose standard deviation counts as a constant."""

    def __init__(self, module: nn.LayerNorm) -> None:
        self.gamma, self.beta = module.weight.detach(), module.bias.detach()
        self.eps = module.eps

    def forward(self, x: Tensor) -> Tensor:
        centered = x - x.mean(-1, keepdim=True)
        variance = (centered**2).mean(-1, keepdim=True)
        self.x, self.y = x, self.gamma * centered / (variance + self.eps).sqrt() + self.beta
        return self.y

    def backward(self, relevance: Tensor) -> Tensor:
        return steps.layer_norm(self.x, self.gamma, self.y, self.eps, relevance)


class RMSNorm:
    """RMSNorm whose root mean square counts as a constant."""

    def __init__(self, weight: Tensor, eps: float) -> None:
        self.weight, self.eps = weight.detach(), eps

    def forward(self, x: Tensor) -> Tensor:
        # The model normalises in float32 whatever its own dtype; logits only match if this does.
        narrow = x.to(torch.float32)
        normed = narrow * torch.rsqrt(narrow.pow(2).mean(-1, keepdim=True) + self.eps)
        return self.weight * normed.to(x.dtype)

    def backward(self, relevance: Tensor) -> Tensor:
        return steps.identity(relevance)


class Rotary:
    """Rotary embedding of (batch, heads, length, dim) as one dense matrix per position."""

    def __init__(self, cos: Tensor, sin: Tensor) -> None:
        half = cos.shape[-1] // 2
        eye = torch.eye(half, dtype=cos.dtype)
        zero = torch.zeros_like(eye)
        rotate_half = torch.cat([torch.cat([zero, -eye], 1), torch.cat([eye, zero], 1)], 0)
        self.matrix = torch.diag_embed(cos) + sin.unsqueeze(-1) * rotate_half

    def forward(self, x: Tensor) -> Tensor:
        self.x, self.y = x, (self.matrix @ x.unsqueeze(-1)).squeeze(-1)
        return self.y

    def backward(self, relevance: Tensor) -> Tensor:
        return steps.linear(self.x, self.matrix, self.y, relevance)


def gelu(x: Tensor) -> Tensor:
    """Exact GELU."""
    return x * (1 + torch.erf(x / math.sqrt(2))) / 2


def gelu_new(x: Tensor) -> Tensor:
    """GELU in its tanh approximation."""
    return x / 2 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def silu(x: Tensor) -> Tensor:
    """Sigmoid-weighted linear unit."""
    return x / (1 + torch.exp(-x))


@dataclass
class Mlp:
    """Linear, activation, linear; the activation follows the identity rule."""

    first: Linear
    activation: Callable[[Tensor], Tensor]
    second: Linear

    def forward(self, x: Tensor) -> Tensor:
        return self.second.forward(self.activation(self.first.forward(x)))

    def backward(self, relevance: Tensor) -> Tensor:
        return self.first.backward(steps.identity(self.second.backward(relevance)))


@dataclass
class GatedMlp:
    """SwiGLU: ``down(silu(gate(x)) * up(x))``."""

    gate: Linear
    up: Linear
    down: Linear

    def forward(self, x: Tensor) -> Tensor:
        return self.down.forward(silu(self.gate.forward(x)) * self.up.forward(x))

    def backward(self, relevance: Tensor) -> Tensor:
        to_gate, to_up = steps.product(self.down.backward(relevance))
        return self.gate.backward(steps.identity(to_gate)) + self.up.backward(to_up)


@dataclass
class PreNormBlock:
    """``m = x + attention(norm(x)); y = m + mlp(norm(m))`` (GPT-2, Llama, ViT)."""

    attention_norm: Layer
    attention: Layer
    mlp_norm: Layer
    mlp: Layer
    saved: tuple[Tensor, ...] = field(default=(), init=False)

    def forward(self, x: Tensor) -> Tensor:
        attended = self.attention.forward(self.attention_norm.forward(x))
        middle = x + attended
        fed = self.mlp.forward(self.mlp_norm.forward(middle))
        self.saved = x, attended, middle, fed
        return middle + fed

    def backward(self, relevance: Tensor) -> Tensor:
        x, attended, middle, fed = self.saved
        to_middle, to_fed = steps.add(middle, fed, relevance)
        to_middle = to_middle + self.mlp_norm.backward(self.mlp.backward(to_fed))
        to_x, to_attended = steps.add(x, attended, to_middle)
        return to_x + self.attention_norm.backward(self.attention.backward(to_attended))


@dataclass
class PostNormBlock:
    """``m = norm(x + attention(x)); y = norm(m + mlp(m))`` (BERT)."""

    attention: Layer
    attention_norm: Layer
    mlp: Layer
    mlp_norm: Layer
    saved: tuple[Tensor, ...] = field(default=(), init=False)

    def forward(self, x: Tensor) -> Tensor:
        attended = self.attention.forward(x)
        middle = self.attention_norm.forward(x + attended)
        fed = self.mlp.forward(middle)
        self.saved = x, attended, middle, fed
        return self.mlp_norm.forward(middle + fed)

    def backward(self, relevance: Tensor) -> Tensor:
        x, attended, middle, fed = self.saved
        to_middle, to_fed = steps.add(middle, fed, self.mlp_norm.backward(relevance))
        to_middle = to_middle + self.mlp.backward(to_fed)
        to_x, to_attended = steps.add(x, attended, self.attention_norm.backward(to_middle))
        return to_x + self.attention.backward(to_attended)
