"""What a reference returns, and the pieces its forward and backward passes share."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .layers import Layer


@dataclass
class Explanation:
    """Relevance at the source, the reference's own logits and R at every stage, output first."""

    relevance: Tensor
    logits: Tensor
    stages: list[tuple[str, Tensor]] = field(default_factory=list)

    @property
    def totals(self) -> list[tuple[str, Tensor]]:
        """Relevance summed per sample at each stage, from the seed to the source."""
        return [(name, relevance.flatten(1).sum(1)) for name, relevance in self.stages]


class Stack:
    """Named layers applied one after the other."""

    def __init__(self, layers: Sequence[tuple[str, Layer]]) -> None:
        self.layers = list(layers)

    def forward(self, x: Tensor) -> Tensor:
        for _, layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, relevance: Tensor) -> list[tuple[str, Tensor]]:
        """Relevance at the input of every layer, last layer first."""
        stages = []
        for name, layer in reversed(self.layers):
            relevance = layer.backward(relevance)
            stages.append((name, relevance))
        return stages


def seed(logits: Tensor, target: int | Tensor) -> Tensor:
    """The logits at the chosen class (and last position, if there are positions), 0 elsewhere."""
    relevance = torch.zeros_like(logits)
    last = relevance[:, -1] if logits.dim() == 3 else relevance
    values = logits[:, -1] if logits.dim() == 3 else logits
    index = torch.as_tensor(target).expand(len(logits)).unsqueeze(-1)
    last.scatter_(-1, index, values.gather(-1, index))
    return relevance


def require_keys(inputs: dict[str, Tensor], allowed: set[str]) -> None:
    """Reject inputs whose meaning the reference does not implement."""
    if unknown := set(inputs) - allowed:
        raise ValueError(f"inputs not covered by the reference: {sorted(unknown)}")
