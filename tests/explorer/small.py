"""Small models for the explorer, made once per test session."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from lrp_engine import Engine
from lrp_engine.circuits.drawing.layout import Drawing, DrawnComponent, DrawnEdge
from lrp_engine.explorer import Scene
from lrp_engine.show.labels import Labels, SourceLabels
from lrp_engine.show.pieces import pieces_of
from lrp_engine.views import Exploration, explore

WORDS = ["the", "<b>nurse</b>", "gave", "</script>", "a"]


class SmallBlock(nn.Module):
    """Attention of two heads, and an MLP, each added to the stream."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.joint, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 12), nn.GELU(), nn.Linear(12, width))

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        parts = self.joint(x).view(batch, length, 3, 2, width // 2).permute(2, 0, 3, 1, 4)
        z = scaled_dot_product_attention(parts[0], parts[1], parts[2], is_causal=True)
        x = x + self.out(z.transpose(1, 2).reshape(batch, length, width))
        return x + self.mlp(x)


class SmallText(nn.Module):
    """Token ids to the logits of the next token."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(7, 8), nn.Linear(8, 7)
        self.block = SmallBlock()

    def forward(self, ids: Tensor) -> Tensor:
        logits: Tensor = self.head(self.block(self.embedding(ids)))
        return logits


def small_text() -> SmallText:
    """Return the model with weights of one seed, in float64."""
    torch.manual_seed(0)
    return SmallText().double().eval()


def small_image() -> nn.Module:
    """Return a net of two convolutions for images of 6x6."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(3, 4, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(4, 3),
    ).eval()


@cache
def text_exploration() -> Exploration:
    ids = torch.tensor([[1, 2, 3, 4, 5]])
    words = SourceLabels(words=(pieces_of(WORDS),))
    names = tuple(f"word {i}" for i in range(7))
    labels = Labels(sources={"ids": words}, class_names=names, unit="logit")
    return explore(Engine(small_text(), ids, preset="attnlrp"), ids, labels=labels, top=2)


@cache
def text_scene() -> Scene:
    return text_exploration().scene(traces=1000)


@cache
def image_exploration() -> Exploration:
    torch.manual_seed(1)
    image = torch.rand(1, 1, 6, 6)
    return explore(Engine(small_image(), image, preset="epsilon"), image)


def small_circuit() -> Drawing:
    """Return a circuit by hand: two heads that read one word and write at another."""
    rows = ("input", "attention 0", "mlp 0", "attention 1", "mlp 1", "logits")
    named = [("input", 1, 0), ("a0.h0", 1, 1), ("a0.h1", 1, 1), ("a0.h1", 6, 1), ("m0", 6, 2)]
    named += [("a1.h2", 6, 3), ("logits", 6, 5), ("input", 6, 0)]
    kinds = {"i": "input", "a": "attention", "m": "mlp", "l": "logits"}
    places = tuple(
        DrawnComponent(name, at, row, kinds[name[0]], 0.5, f"model.{name}")
        for name, at, row in named
    )
    edges = [(0, 1, "v", 0.9), (0, 2, "k", 0.4), (3, 4, "mlp", 1.0), (4, 5, "q", -0.6)]
    edges += [(5, 6, "logits", 0.8), (3, 6, "logits", 0.3), (7, 5, "q", 0.001), (2, 3, "moves", 0)]
    lines = tuple(DrawnEdge(*edge) for edge in edges)
    tokens = ("<s>", "</script>", "the", "a", "b", "c", "to")
    return Drawing(places, lines, rows, tokens, tuple(map(float, range(7))), "a <b>circuit</b>")
