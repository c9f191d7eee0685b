"""Recurrent, graph, two-tower and quantised models in plain torch."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .entry import SHORT, VOCABULARY, Entry, Inputs, ids, numbers


class Recurrent(nn.Module):
    """Two layers of a recurrent net over word vectors, both ways, and a linear head."""

    def __init__(self, kind: type[nn.RNNBase]) -> None:
        super().__init__()
        self.words = nn.Embedding(VOCABULARY, 6)
        self.net = kind(6, 5, num_layers=2, batch_first=True, bidirectional=True)
        self.head = nn.Linear(10, 3)

    def forward(self, words: Tensor) -> Tensor:
        states, _ = self.net(self.words(words))
        return self.head(states[:, -1])


class GraphNet(nn.Module):
    """Messages along edges, summed where they arrive; then the mean over all nodes."""

    def __init__(self) -> None:
        super().__init__()
        self.message = nn.ModuleList(nn.Linear(6, 6) for _ in range(2))
        self.update = nn.ModuleList(nn.Linear(12, 6) for _ in range(2))
        self.weigh, self.head = nn.Linear(6, 1), nn.Linear(6, 3)

    def forward(self, nodes: Tensor, edges: Tensor) -> Tensor:
        source, target = edges
        for message, update in zip(self.message, self.update, strict=True):
            sent = F.relu(message(nodes))[:, source]
            heard = torch.zeros_like(nodes).index_add_(1, target, sent)
            count = torch.zeros(nodes.shape[1], dtype=nodes.dtype)
            count = count.scatter_add(0, target, torch.ones_like(target, dtype=nodes.dtype))
            heard = heard / count.clamp(min=1).unsqueeze(-1)
            nodes = nodes + F.relu(update(torch.cat([nodes, heard], -1)))
        return self.head(nodes.mean(1))


class TwoTower(nn.Module):
    """Text and numbers, each with a tower of its own; the answer is their cosine."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(VOCABULARY, 8)
        self.left = nn.Sequential(nn.Linear(8, 8), nn.GELU(), nn.Linear(8, 6))
        self.right = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 6))

    def forward(self, words: Tensor, features: Tensor) -> Tensor:
        left = F.normalize(self.left(self.words(words)).mean(1), dim=-1)
        right = F.normalize(self.right(features), dim=-1)
        return (left * right).sum(-1, keepdim=True)


class Int8Linear(nn.Module):
    """Weights as whole numbers with one scale per row; made from them anew in every call."""

    def __init__(self, inner: int, outer: int) -> None:
        super().__init__()
        weight = torch.randn(outer, inner) / inner**0.5
        scale = weight.abs().amax(1, keepdim=True) / 127
        self.register_buffer("weight", (weight / scale).round().to(torch.int8))
        self.register_buffer("scale", scale)
        self.bias = nn.Parameter(torch.randn(outer))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight.to(x.dtype) * self.scale.to(x.dtype), self.bias)


class ScaledAfter(Int8Linear):
    """The same, with the scale applied to the result."""

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight.to(x.dtype)) * self.scale.to(x.dtype).T + self.bias


class Quantised(nn.Sequential):
    """Two int8 layers of different make."""

    def __init__(self) -> None:
        super().__init__(Int8Linear(6, 10), nn.GELU(), ScaledAfter(10, 8), nn.ReLU())
        self.append(nn.Linear(8, 3))


def _words(batch: int, length: int) -> Inputs:
    return {"words": ids(batch, SHORT)}


def _vectors(batch: int, length: int) -> Inputs:
    return {"input": numbers(batch, 6)}


def _graph(batch: int, length: int) -> Inputs:
    source = torch.arange(2 * length)
    edges = torch.stack([source * 5 % length, source * 3 % (length - 1) + 1])
    return {"nodes": numbers(batch, length, 6), "edges": edges}


def _pairs(batch: int, length: int) -> Inputs:
    return {"words": ids(batch, length), "features": numbers(batch, 5)}


PLAIN = {
    "lstm": Entry(lambda: Recurrent(nn.LSTM), _words),
    "gru": Entry(lambda: Recurrent(nn.GRU), _words),
    "graph": Entry(GraphNet, _graph),
    "two_tower": Entry(TwoTower, _pairs, length=True, target=0),
    "int8": Entry(Quantised, _vectors),
}
