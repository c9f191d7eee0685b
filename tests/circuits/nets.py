"""Small random language models with a plain definition each: no library's, no engine's code."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

VOCABULARY, WIDTH, HEADS = 11, 12, 3


class Attention(nn.Module):
    """Causal attention with `groups` heads of keys and values, written out or fused."""

    def __init__(self, groups: int = HEADS, fused: bool = True) -> None:
        super().__init__()
        size = WIDTH // HEADS
        self.q = nn.Linear(WIDTH, WIDTH)
        self.k, self.v = (nn.Linear(WIDTH, groups * size, bias=False) for _ in range(2))
        self.o = nn.Linear(WIDTH, WIDTH)
        self.groups, self.fused = groups, fused

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            layer(x).unflatten(-1, (count, -1)).transpose(1, 2)
            for layer, count in ((self.q, HEADS), (self.k, self.groups), (self.v, self.groups))
        )
        k, v = (t.repeat_interleave(HEADS // self.groups, dim=1) for t in (k, v))
        if self.fused:
            z = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
            mask = torch.ones(scores.shape[-2:], device=x.device).tril() == 0
            z = scores.masked_fill(mask, float("-inf")).softmax(-1) @ v
        return self.o(z.transpose(1, 2).flatten(2))


class Gated(nn.Module):
    """SwiGLU."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.up = nn.Linear(WIDTH, 16), nn.Linear(WIDTH, 16)
        self.down = nn.Linear(16, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.silu(self.gate(x)) * self.up(x))


def plain_mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(WIDTH, 16), nn.GELU(), nn.Linear(16, WIDTH))


class Layer(nn.Module):
    """One layer; `parallel` adds attention and MLP of the same stream together."""

    def __init__(
        self, attention: nn.Module, mlp: nn.Module, norm: type[nn.Module], parallel: bool
    ) -> None:
        super().__init__()
        self.attention, self.mlp, self.parallel = attention, mlp, parallel
        self.first, self.second = norm(WIDTH), norm(WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        if self.parallel:
            return x + (self.attention(self.first(x)) + self.mlp(self.second(x)))
        x = x + self.attention(self.first(x))
        return x + self.mlp(self.second(x))


class LanguageModel(nn.Module):
    """Token ids, (batch, position), to logits, (batch, position, vocabulary)."""

    def __init__(self, layers: list[nn.Module], norm: type[nn.Module]) -> None:
        super().__init__()
        self.tokens = nn.Embedding(VOCABULARY, WIDTH)
        self.places = nn.Embedding(8, WIDTH)
        self.layers = nn.ModuleList(layers)
        self.norm, self.head = norm(WIDTH), nn.Linear(WIDTH, VOCABULARY)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.tokens(ids) + self.places.weight[: ids.shape[1]]
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x))


def sequential() -> LanguageModel:
    """GPT-2's build: LayerNorm, GELU, attention and MLP one after the other."""
    layers = [Layer(Attention(), plain_mlp(), nn.LayerNorm, parallel=False) for _ in range(2)]
    return LanguageModel(layers, nn.LayerNorm)


def parallel() -> LanguageModel:
    """GPT-NeoX's build: attention and MLP read the same stream; attention written out."""
    layers = [
        Layer(Attention(fused=False), plain_mlp(), nn.LayerNorm, parallel=True) for _ in range(2)
    ]
    return LanguageModel(layers, nn.LayerNorm)


def grouped() -> LanguageModel:
    """Llama's build: RMSNorm, SwiGLU, one head of keys and values for three queries."""
    layers = [Layer(Attention(groups=1), Gated(), nn.RMSNorm, parallel=False) for _ in range(2)]
    return LanguageModel(layers, nn.RMSNorm)


BUILDS = {"sequential": sequential, "parallel": parallel, "grouped": grouped}


def draw(build: str, seed: int = 0) -> tuple[LanguageModel, Tensor, Tensor]:
    """A model in float64 with large random weights, and two batches of ids, (3, 5)."""
    torch.manual_seed(seed)
    net = BUILDS[build]().double().eval()
    for parameter in net.parameters():
        parameter.data.copy_(torch.randn_like(parameter) * 0.5)
    clean = torch.randint(0, VOCABULARY, (3, 5))
    corrupt = torch.where(torch.rand(3, 5) < 0.5, torch.randint(0, VOCABULARY, (3, 5)), clean)
    corrupt[:, 1] = (clean[:, 1] + 1) % VOCABULARY
    return net, clean, corrupt
